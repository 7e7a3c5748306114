"""Steps of PyTorch + PEFT on this card, by bench/peers/peft_step.py, in the sizes that time_step is asked for: JSON lines. A case that does
not fit runs again with gradient checkpointing."""
import gc
import pathlib
import sys
import traceback

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))
import peft_step

COMMON = ["bf16", "--device", "cuda", "--fused", "--adapter-bf16"]


def run(case):
    try:
        peft_step.main(case + COMMON)
        return True
    except torch.cuda.OutOfMemoryError as error:
        print(f"# {' '.join(case)}: {str(error)[:120]}", flush=True)
    except Exception:
        traceback.print_exc()
        return True
    return False


def free():
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


for shape, batch, tokens in (("llama-3.1-8b", 1, 2048), ("llama-3.1-8b", 4, 2048), ("smollm2-135m", 8, 512)):
    case = [shape, "--batch", str(batch), "--tokens", str(tokens)]
    fits = run(case)
    free()
    if not fits:
        run(case + ["--checkpointing"])
        free()
