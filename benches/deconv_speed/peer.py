"""FlashDeconv on a generated section; runs in the Python where flashdeconv 0.2.0 is installed."""

import json
import resource
import sys
from pathlib import Path

import numpy as np
from flashdeconv import FlashDeconv

sys.path.insert(0, str(Path(__file__).resolve().parent))
from generate import load

counts, rest, cells = load(Path(sys.argv[1]))
means = np.stack([np.asarray(cells[rest["labels"] == kind].mean(axis=0)).ravel() for kind in range(16)])
FlashDeconv().fit(counts[:500], means, rest["coords"][:500])  # compiles
before = resource.getrusage(resource.RUSAGE_SELF)
model = FlashDeconv()
shares = model.fit_transform(counts, means, rest["coords"])
after = resource.getrusage(resource.RUSAGE_SELF)
result = {
    "user_s": after.ru_utime - before.ru_utime,
    "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    "rise_mb": (after.ru_maxrss - before.ru_maxrss) / 1024,
    "rmse": float(np.sqrt(((shares - rest["truth"]) ** 2).mean())),
    "note": f"{model.summary()['n_iterations']} iterations, converged {model.summary()['converged']}",
}
print(json.dumps(result))
