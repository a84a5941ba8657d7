"""What the tests of saved networks share."""


def facts(net):
    """Everything that a network is, comparable by ==."""
    state = net.optimizer_state()
    names = ("sizes", "activations", "output_activation", "loss", "bias", "dtype", "seed", "epochs_done", "metadata")
    tensors = [array.tobytes() for array in (*net.weights, *net.biases) if array is not None]
    slots = [slot.tobytes() for slot in state.pop("slots")]
    return type(net), [getattr(net, name) for name in names], tensors, state, slots
