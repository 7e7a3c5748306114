"""FedAvg over LoRA-shaped arrays; what came of it goes into a JSON file."""
import json

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()
LAYER = "base_model.model.model.layers.0.self_attn.q_proj"
SHAPES = {f"{LAYER}.lora_B.weight": (16, 4), f"{LAYER}.lora_A.weight": (4, 16), "large": (3 * 2**19,)}


@app.main()
def main(grid: Grid, context: Context) -> None:
    zeros = {name: Array(np.zeros(shape, dtype=np.float32)) for name, shape in SHAPES.items()}
    strategy = FedAvg(min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3)
    result = strategy.start(
        grid=grid, initial_arrays=ArrayRecord(zeros), num_rounds=context.run_config["rounds"], timeout=120
    )
    arrays = {name: array.numpy() for name, array in result.arrays.items()}
    found = {
        "names": list(arrays),
        "values": {name: sorted({float(value) for value in array.ravel()}) for name, array in arrays.items()},
        "dtypes": sorted({str(array.dtype) for array in arrays.values()}),
        "train": {str(r): dict(m) for r, m in result.train_metrics_clientapp.items()},
        "evaluate": {str(r): dict(m) for r, m in result.evaluate_metrics_clientapp.items()},
    }
    with open(context.run_config["result"], "w", encoding="utf-8") as file:
        json.dump(found, file)
