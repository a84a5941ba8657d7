/* malloc and its kin, which fail once where they are told to, for LD_PRELOAD on glibc: every array, every scratch buffer
 * and every large object of Python is asked of them. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static _Thread_local long countdown, minimum; /* only the thread that asks for it is denied */
static _Atomic long live;

/* The n-th request of at least that many bytes fails; 0: none does. Returns what remained to be counted. */
long fail_at(long n, long bytes) {
    long before = countdown;
    countdown = n;
    minimum = bytes;
    return before;
}

/* Bytes that were given out and not taken back. */
long live_bytes(void) { return live; }

static int denied(size_t n) { return countdown && (long)n >= minimum && !--countdown; }

static void *given(void *p) {
    live += (long)malloc_usable_size(p);
    return p;
}

void *malloc(size_t n) {
    if (denied(n)) return errno = ENOMEM, NULL;
    return given(__libc_malloc(n));
}

void *calloc(size_t n, size_t size) {
    if (denied(n * size)) return errno = ENOMEM, NULL;
    return given(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n) {
    if (denied(n)) return errno = ENOMEM, NULL;
    long before = (long)malloc_usable_size(p);
    void *q = __libc_realloc(p, n);
    if (q || !n) live -= before;
    return q ? given(q) : q;
}

void *memalign(size_t alignment, size_t n) {
    if (denied(n)) return errno = ENOMEM, NULL;
    return given(__libc_memalign(alignment, n));
}

void *aligned_alloc(size_t alignment, size_t n) { return memalign(alignment, n); }

int posix_memalign(void **p, size_t alignment, size_t n) {
    void *q = memalign(alignment, n);
    if (!q) return ENOMEM;
    *p = q;
    return 0;
}

void free(void *p) {
    live -= (long)malloc_usable_size(p);
    __libc_free(p);
}
