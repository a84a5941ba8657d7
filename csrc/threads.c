/* The worker pool: fm_parallel cuts a job into n shares and returns when all are done.
 *
 * Whoever is free claims the next share, the caller too: a worker that the machine is too busy to run costs nothing, as it
 * claims none. Workers are started when first needed, spin for some tens of microseconds after a job, since the next one
 * of a training run is that near, then sleep. One job at a time: whoever finds the pool busy, or cannot start threads, does
 * all the work alone, with the same bits. A forked child starts with an empty pool. */
#include "fastmlp.h"
#include <stdatomic.h>

#if defined(_WIN32)
#include <windows.h>
typedef SRWLOCK lock_t;
typedef CONDITION_VARIABLE signal_t;
#define LOCK_INIT SRWLOCK_INIT
#define SIGNAL_INIT CONDITION_VARIABLE_INIT
static void lock(lock_t *l) { AcquireSRWLockExclusive(l); }
static void unlock(lock_t *l) { ReleaseSRWLockExclusive(l); }
static void wait_for(signal_t *s, lock_t *l) { SleepConditionVariableSRW(s, l, INFINITE, 0); }
static void wake_all(signal_t *s) { WakeAllConditionVariable(s); }
double fm_seconds(void)
{
    LARGE_INTEGER ticks, rate;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&rate);
    return (double)ticks.QuadPart / (double)rate.QuadPart;
}
#else
#include <pthread.h>
#include <time.h>
typedef pthread_mutex_t lock_t;
typedef pthread_cond_t signal_t;
#define LOCK_INIT PTHREAD_MUTEX_INITIALIZER
#define SIGNAL_INIT PTHREAD_COND_INITIALIZER
static void lock(lock_t *l) { pthread_mutex_lock(l); }
static void unlock(lock_t *l) { pthread_mutex_unlock(l); }
static void wait_for(signal_t *s, lock_t *l) { pthread_cond_wait(s, l); }
static void wake_all(signal_t *s) { pthread_cond_broadcast(s); }
double fm_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ volatile("yield")
#else
#define RELAX() ((void)0)
#endif

/* Rounding and treatment of subnormals: workers take the caller's, so that no result tells who computed it. */
#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
typedef unsigned fp_mode;
static fp_mode get_mode(void) { return _mm_getcsr(); }
static void set_mode(fp_mode mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
typedef uint64_t fp_mode;
static fp_mode get_mode(void)
{
    fp_mode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static void set_mode(fp_mode mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#else
typedef int fp_mode;
static fp_mode get_mode(void) { return 0; }
static void set_mode(fp_mode mode) { (void)mode; }
#endif

enum { MOST_THREADS = 256 };
static const double SPIN_SECONDS = 50e-6;

static struct {
    atomic_flag busy;                   /* held by the thread whose job is being done */
    atomic_uint turns[MOST_THREADS];    /* how often each worker was called; it waits for its own to change */
    atomic_uint shares;                 /* of this job: their number << 16 | the next to be claimed */
    atomic_uint left;                   /* shares not finished */
    atomic_int asleep;                  /* threads that wait for the signal */
    int started;                        /* workers alive, numbered from 1: the caller is worker 0 */
    void (*work)(void *, int, int);     /* stable while a share is claimed and not finished */
    void *context;
    fp_mode mode;
    lock_t lock;
    signal_t signal;
} pool = {.busy = ATOMIC_FLAG_INIT, .lock = LOCK_INIT, .signal = SIGNAL_INIT};

/* Until *value is no longer old: spin, then sleep. Whoever changes it calls notify. */
static void await_change(atomic_uint *value, unsigned old)
{
    const double until = fm_seconds() + SPIN_SECONDS;
    do {
        for (int i = 0; i < 64; ++i) {
            if (atomic_load(value) != old)
                return;
            RELAX();
        }
    } while (fm_seconds() < until);
    lock(&pool.lock);
    atomic_fetch_add(&pool.asleep, 1);
    while (atomic_load(value) == old)
        wait_for(&pool.signal, &pool.lock);
    atomic_fetch_sub(&pool.asleep, 1);
    unlock(&pool.lock);
}

static void notify(void)
{
    if (!atomic_load(&pool.asleep))
        return;
    lock(&pool.lock);
    wake_all(&pool.signal);
    unlock(&pool.lock);
}

/* Claim shares and do them until none is left to claim. Returns whether it finished the job's last one. */
static int take_part(void)
{
    unsigned claim = atomic_load(&pool.shares), done = 0, left = 1;
    while ((claim & 0xFFFF) < claim >> 16)
        if (atomic_compare_exchange_weak(&pool.shares, &claim, claim + 1)) {
            set_mode(pool.mode);
            pool.work(pool.context, (int)(claim & 0xFFFF), (int)(claim >> 16));
            left = atomic_fetch_sub(&pool.left, 1) - 1;
            ++done;
            claim = atomic_load(&pool.shares);
        }
    return done && !left;
}

static void serve(int worker)
{
    for (unsigned turn = 0;;) {
        await_change(&pool.turns[worker], turn);
        turn = atomic_load(&pool.turns[worker]); /* before the shares: a call that comes now is not missed */
        if (take_part())
            notify();
    }
}

#if defined(_WIN32)
static DWORD WINAPI serve_thread(void *worker)
{
    serve((int)(intptr_t)worker);
    return 0;
}
static int start(int worker)
{
    HANDLE thread = CreateThread(NULL, 0, serve_thread, (void *)(intptr_t)worker, 0, NULL);
    return thread && CloseHandle(thread);
}
#else
#include <signal.h>
static void *serve_thread(void *worker)
{
    serve((int)(intptr_t)worker);
    return NULL;
}

/* Threads do not survive a fork: the child begins with none. */
static void forget_workers(void)
{
    static const lock_t new_lock = LOCK_INIT;
    static const signal_t new_signal = SIGNAL_INIT;
    for (int i = 0; i < MOST_THREADS; ++i)
        atomic_store(&pool.turns[i], 0);
    atomic_store(&pool.shares, 0);
    atomic_store(&pool.asleep, 0);
    pool.started = 0;
    pool.lock = new_lock;
    pool.signal = new_signal;
    atomic_flag_clear(&pool.busy);
}

/* Workers take no signals: those are for the caller's threads. */
static int start(int worker)
{
    static int told_of_forks = 0;
    sigset_t all, before;
    pthread_t thread;
    if (!told_of_forks && pthread_atfork(NULL, NULL, forget_workers))
        return 0;
    told_of_forks = 1;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before))
        return 0;
    const int failed = pthread_create(&thread, NULL, serve_thread, (void *)(intptr_t)worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !failed && !pthread_detach(thread);
}
#endif

void fm_parallel(int n, void (*work)(void *context, int i, int n), void *context)
{
    if (n < 2 || atomic_flag_test_and_set(&pool.busy)) {
        work(context, 0, 1);
        return;
    }
    n = n < MOST_THREADS ? n : MOST_THREADS;
    while (pool.started < n - 1 && start(pool.started + 1))
        ++pool.started;
    n = n <= pool.started ? n : pool.started + 1;
    pool.work = work, pool.context = context, pool.mode = get_mode();
    atomic_store(&pool.left, (unsigned)n);
    atomic_store(&pool.shares, (unsigned)n << 16);
    for (int i = 1; i < n; ++i)
        atomic_fetch_add(&pool.turns[i], 1);
    notify();
    take_part();
    for (unsigned left; (left = atomic_load(&pool.left)) != 0;)
        await_change(&pool.left, left);
    atomic_flag_clear(&pool.busy);
}
