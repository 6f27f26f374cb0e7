"""One training over several devices: a process for each, the batch shared out, the gradients averaged."""
