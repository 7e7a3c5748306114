"""Reads a GGUF file with gguf-py and, where xllamacpp and llama_cpp_py_sync are installed, runs it with llama.cpp.

usage: read_gguf.py FILE.gguf OUT.json [ID,ID,...] [ADAPTER.gguf]
OUT.json: "tensors": name -> [type, shape in Hugging Face order, sum and sum of squares in float64 of the dequantised numbers], "architecture",
"logits": of every row by llama.cpp (F32 cache), or null where it is not installed. Versions: gguf 0.19.0, xllamacpp 2026.10.11549, llama-cpp-py-sync 0.11548.
"""
import json, os, sys
import numpy as np
from gguf import GGUFReader, dequantize

path, out = sys.argv[1:3]
ids = [int(x) for x in sys.argv[3].split(',')] if len(sys.argv) > 3 and sys.argv[3] else []
adapter = sys.argv[4] if len(sys.argv) > 4 else None
reader = GGUFReader(path)
tensors = {}
for x in reader.tensors:
    w = dequantize(np.asarray(x.data), x.tensor_type).astype(np.float64)
    tensors[x.name] = [x.tensor_type.name, [int(s) for s in reversed(x.shape)], float(w.sum()), float((w * w).sum())]

def run():
    try:
        import xllamacpp
        from llama_cpp_py_sync import _cffi_bindings as native
    except ImportError:
        return None
    ffi = native.get_ffi()
    lib = ffi.dlopen(f'{os.path.dirname(xllamacpp.__file__)}/xllamacpp.abi3.so')
    lib.llama_backend_init()
    silent = ffi.callback('void(enum ggml_log_level, const char *, void *)', lambda level, text, data: None)
    lib.llama_log_set(silent, ffi.NULL)
    p = lib.llama_model_default_params(); p.n_gpu_layers = 0
    model = lib.llama_model_load_from_file(path.encode(), p)
    assert model != ffi.NULL, f'llama.cpp does not load {path}'
    c = lib.llama_context_default_params()
    c.n_ctx = c.n_batch = c.n_ubatch = 64; c.n_threads = c.n_threads_batch = 1; c.type_k = c.type_v = 0; c.flash_attn_type = 0
    context = lib.llama_init_from_model(model, c); assert context != ffi.NULL
    if adapter:
        lora = lib.llama_adapter_lora_init(model, adapter.encode()); assert lora != ffi.NULL, f'llama.cpp does not load {adapter}'
        assert lib.llama_set_adapters_lora(context, ffi.new('struct llama_adapter_lora *[1]', [lora]), 1, ffi.new('float[1]', [1.0])) == 0
    n = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    b = lib.llama_batch_init(len(ids), 0, 1); b.n_tokens = len(ids)
    for i, t in enumerate(ids):
        b.token[i] = t; b.pos[i] = i; b.n_seq_id[i] = 1; b.seq_id[i][0] = 0; b.logits[i] = 1
    assert lib.llama_decode(context, b) == 0
    return np.frombuffer(ffi.buffer(lib.llama_get_logits(context), 4 * n * len(ids)), dtype=np.float32).tolist()

json.dump(dict(architecture=reader.fields['general.architecture'].contents(), tensors=tensors, logits=run() if ids else None), open(out, 'w'))
