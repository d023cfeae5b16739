"""The Open Bandit Pipeline's estimators on rows that Forage saw too: ope_obp.py FILE prints {"version", "values"}.

Installed, with ope_vw.py's Vowpal Wabbit, into the environment that FORAGE_PEERS names, or that bench_ope.py looks for:
    python3 -m venv build/bench/peers
    build/bench/peers/bin/pip install numpy scipy scikit-learn pandas matplotlib seaborn pyyaml tqdm mypy_extensions
    build/bench/peers/bin/pip install vowpalwabbit
    build/bench/peers/bin/pip install --no-deps obp
The pipeline imports torch for policy learners that nothing here uses; where torch is not installed, empty modules stand
in for it.
"""

import json
import sys
import types


class Absent(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def stand_in(*names):
    for name in names:
        sys.modules[name] = Absent(name)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, sys.modules[name])


try:
    import torch  # noqa: F401
except ImportError:
    stand_in("torch", "torch.nn", "torch.nn.functional", "torch.optim", "torch.utils", "torch.utils.data")

import numpy
import obp
from obp import ope


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        given = json.load(file)
    action, position, reward, pscore = (numpy.array(column) for column in zip(*given["rows"]))
    n = len(action)
    # (places, actions) → (rows, actions, places)
    pi, q = (numpy.tile(numpy.array(given[name]).T, (n, 1, 1)) for name in ("pi", "q"))
    estimators = {
        "ips": ope.InverseProbabilityWeighting(),
        "snips": ope.SelfNormalizedInverseProbabilityWeighting(),
        "dm": ope.DirectMethod(),
        "dr": ope.DoublyRobust(),
        "switch-dr": ope.SwitchDoublyRobust(tau=given["tau"]),
        "dros": ope.DoublyRobustWithShrinkage(lambda_=given["lambda"]),
    }
    rows = {"reward": reward, "action": action.astype(int), "position": position.astype(int), "pscore": pscore}
    values = {name: float(e.estimate_policy_value(**rows, action_dist=pi, estimated_rewards_by_reg_model=q))
              for name, e in estimators.items()}
    print(json.dumps({"version": obp.__version__, "values": values}))


main()
