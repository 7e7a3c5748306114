"""What PyTorch does with the same sizes on the same card: products by torch.matmul (cuBLAS), attention by scaled_dot_product_attention.
A Markdown table as time_operators prints it; random numbers, the median of runs between events."""
import torch

torch.manual_seed(0)
device = torch.device("cuda")


def median_seconds(work, runs=11, warm=3):
    for _ in range(warm):
        work()
    torch.cuda.synchronize()
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(runs)]
    for start, end in events:
        start.record()
        work()
        end.record()
    torch.cuda.synchronize()
    return sorted(start.elapsed_time(end) for start, end in events)[runs // 2] * 1e-3


def line(what, seconds, amount, unit):
    print(f"| {what} | {seconds * 1e6:.1f} | {amount / seconds:.0f} {unit} |", flush=True)


def numbers(*size):
    return torch.randn(size, device=device, dtype=torch.bfloat16)


print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}\n\n| what | µs | speed |\n|---|--:|--:|")
big = torch.empty(1 << 29, device=device, dtype=torch.float32).uniform_()
other = torch.empty_like(big)
line("copy of 2 GiB, read and written", median_seconds(lambda: other.copy_(big)), 2 * big.nbytes * 1e-9, "GB/s")
del big, other
a, b, c = numbers(8192, 8192), numbers(8192, 8192), numbers(8192, 8192)
line("matmul 8192³", median_seconds(lambda: torch.matmul(a, b, out=c)), 2 * 8192**3 * 1e-12, "TF/s")
for m in (2048, 8192):
    for name, n, k in (("q, o", 4096, 4096), ("k, v", 1024, 4096), ("gate, up", 14336, 4096), ("down", 4096, 14336)):
        x, w, y, d_x = numbers(m, k), numbers(n, k), numbers(m, n), numbers(m, k)
        line(f"{name} x·Wᵀ, M {m} N {n} K {k}", median_seconds(lambda: torch.matmul(x, w.t(), out=y)), 2 * m * n * k * 1e-12, "TF/s")
        line(f"{name} d_y·W, M {m} N {n} K {k}", median_seconds(lambda: torch.matmul(y, w, out=d_x)), 2 * m * n * k * 1e-12, "TF/s")
for heads, kv_heads, d, t, sequences in ((32, 8, 128, 2048, 1), (32, 8, 128, 2048, 4), (32, 8, 64, 2048, 1), (9, 3, 64, 512, 8)):
    q, k, v = (numbers(sequences, h, t, d).requires_grad_() for h in (heads, kv_heads, kv_heads))
    forward = lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    o = forward()
    d_o = torch.randn_like(o)
    product = sequences * t * t * heads * d * 1e-12
    line(f"attention forward T {t} × {sequences} heads {heads} D {d}", median_seconds(forward), 2 * product, "TF/s")
    both = lambda: torch.autograd.grad(forward(), (q, k, v), d_o)
    line(f"attention forward and backward T {t} × {sequences} heads {heads} D {d}", median_seconds(both), 7 * product, "TF/s")
