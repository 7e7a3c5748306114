"""Adapters that PEFT trained over a whole Gemma 3 (vision tower included), and the logits of a text under them.

usage: make_multimodal_adapter.py test/golden/models/gemma3      (torch 2.13.0, transformers 5.23.0, peft 0.21.2)
Its text part has the weights of that folder; writes multimodal/list (short names, so that the vision tower is adapted as well; patterns over the
whole's names) and multimodal/regex (an expression over the whole's names, as trainers of multimodal models write it).
logits.safetensors: input_ids [1,12], logits [1,12,V], computed in float64.
"""
import copy, sys
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, Gemma3Config, Gemma3ForConditionalGeneration

root = sys.argv[1]
torch.set_num_threads(1)
torch.manual_seed(1)
vision = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14, model_type='siglip_vision_model')
whole = Gemma3ForConditionalGeneration(Gemma3Config(text_config=AutoConfig.from_pretrained(root).to_dict(), vision_config=vision, mm_tokens_per_image=4)).float().eval()
text = AutoModelForCausalLM.from_pretrained(root, dtype=torch.float32)
whole.model.language_model.load_state_dict(text.model.state_dict())
whole.lm_head.load_state_dict(text.lm_head.state_dict())
kinds = dict(
    list=dict(target_modules=['q_proj', 'v_proj', 'down_proj'], rank_pattern={'model.language_model.layers.1.self_attn.q_proj': 3}, alpha_pattern={r'language_model\..*\.v_proj': 7}),
    regex=dict(target_modules=r'(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|o_proj|up_proj).*?)'),
)
for kind, options in kinds.items():
    model = get_peft_model(copy.deepcopy(whole), LoraConfig(r=2, lora_alpha=5, task_type='CAUSAL_LM', **options))
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if 'lora_' in name: parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(f'{root}/multimodal/{kind}')
    ids = torch.tensor([[1, 5, 9, 30, 200, 17, 33, 90, 4, 61, 7, 8]])
    with torch.no_grad(): logits = model.double()(input_ids=ids, token_type_ids=torch.zeros_like(ids)).logits
    save_file(dict(input_ids=ids, logits=logits.float().contiguous()), f'{root}/multimodal/{kind}/logits.safetensors')
