"""Makes server_steps.json: the adapter after each round as Flower 1.42.0's strategies step it. python make_server_steps.py > server_steps.json

FedAdam corrects its rate for bias with the number of the round; with a number so large that the correction is 1 it is algorithm 2 of
Reddi et al. 2021. Parameters are float64 and survive Flower's own messages between rounds; inputs are float32 numbers.
"""
import json

import numpy as np
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.strategy import FedAdam, FedAvgM

LATE = 10**6
generator = np.random.default_rng(20)
# Magnitudes from far below epsilon to far above; a round of zeros, an element that is always zero, one that is constant.
start = np.float32(generator.normal(size=10)).astype(np.float64)
updates = np.float32(generator.normal(size=(6, 10)) * np.logspace(-5, 1, 10)).astype(np.float64)
updates[3], updates[:, 4], updates[:, 5] = 0, 0, 0.0078125


def rounds(strategy, current, first):
    """`current` of a strategy is what its clients would have begun from."""
    for number, update in enumerate(updates):
        answer = FitRes(Status(Code.OK, ''), ndarrays_to_parameters([current + update]), 1, {})
        parameters, _ = strategy.aggregate_fit(first + number, [(None, answer)], [])
        current = parameters_to_ndarrays(parameters)[0]
        yield current.tolist()


def initial():
    return ndarrays_to_parameters([start])


sizes = {'momentum': {'learningRate': 0.1, 'beta1': 0.9}, 'adam': {'learningRate': 0.05, 'beta1': 0.8, 'beta2': 0.95, 'epsilon': 0.002}}
momentum = FedAvgM(server_learning_rate=0.1, server_momentum=0.9, initial_parameters=initial())
adam = FedAdam(eta=0.05, beta_1=0.8, beta_2=0.95, tau=0.002, initial_parameters=initial())
print(json.dumps({
    'start': start.tolist(),
    'updates': updates.tolist(),
    'rules': [
        {'options': {'name': 'momentum', **sizes['momentum']}, 'x': list(rounds(momentum, start, 1))},
        {'options': {'name': 'adam', **sizes['adam']}, 'x': list(rounds(adam, start, LATE))},
    ],
}))
