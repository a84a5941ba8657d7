/* How much memory a call wants; train.inl.h, gemm.inl.h and network.inl.h cut it up. */
#include "common.h"

ptrdiff_t fm_matmul_scratch(ptrdiff_t K)
{
    return FM_PANEL * (FM_PANEL + 1 + K);
}

ptrdiff_t fm_row_scratch(const fm_net *net)
{
    return 2 * fm_widest(net) + 2 * fm_words(fm_deepest(net)); /* two layers, and which inputs are not 0 */
}

ptrdiff_t fm_forward_scratch(const fm_net *net, int threads)
{
    return threads * fm_padded(3 * fm_block(net) * fm_widest(net) + fm_matmul_scratch(fm_deepest(net)));
}

ptrdiff_t fm_workspace(const fm_net *net, ptrdiff_t batch, int threads)
{
    const fm_layer *last = &net->layers[net->n_layers - 1];
    const ptrdiff_t chunk = fm_chunk(net, batch, threads), rows = chunk * (1 + net->siamese), all = last->before + last->ld;
    return fm_padded(rows * net->layers[0].inputs) + fm_padded(chunk * fm_target_elements(last->outputs)) +
           fm_padded(chunk) + fm_bits(net, rows) + (net->siamese ? chunk * last[-1].ld : 0) + 2 * rows * all +
           threads * fm_scratch(net);
}
