"""How much too good is a validation score when near-duplicates straddle the split?

    python experiments/split_leakage.py --data ../shared/data/mars_shaped/street_scenes.npz

Holds out the last fifth of the labelled samples, in their order, as the test set: new
streets. The rest is split twice, once sample by sample (`near_duplicates: ignore`), once in
blocks with gaps (`together`), and the same config is trained on both. The difference of
validation and test is how far each validation score overstates what new images will give.
Two trainings for each seed; `--epochs 25` on two idle cores takes some minutes each.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tfvision.data.audit.audit import audit
from tfvision.data.scan.scan import scan
from tfvision.data.sources.recognise import open_source
from tfvision.data.split.chain_blocks import Near, leave_out, straddling
from tfvision.data.split.holdout import holdout, write_splits


def split_files(data: Path, folder: Path, seed: int) -> dict[str, Path]:
    """Writes a split of each kind; prints their sizes and the pairs that straddle them."""
    source = open_source(data)
    found = scan(source)
    audited = audit(source, found)
    blocks = Near(audited.pairs, audited.clusters, audited.chains)
    labelled = [i for i, record in enumerate(source.records) if record.labelled]
    last = set(labelled[-(len(labelled) // 5) :])
    records = [
        replace(record, split="test" if i in last else None)
        for i, record in enumerate(source.records)
    ]
    # The test set is new to both: what is too near to it is taken out before.
    parted = ["test" if i in last else "train" for i in range(len(records))]
    kept = leave_out(parted, blocks.links(records), given=last)
    records = [
        record if split else replace(record, labelled=False)
        for record, split in zip(records, kept, strict=True)
    ]
    files = {}
    for kind, near in {"ignore": Near(), "together": blocks}.items():
        splits = holdout(found, records, val_fraction=0.2, test_fraction=0, seed=seed, near=near)
        files[kind] = folder / f"{kind}-{seed}.csv"
        files[kind].parent.mkdir(parents=True, exist_ok=True)
        write_splits(files[kind], source.records, splits)
        sizes = {name: splits.count(name) for name in ("train", "val", "test")}
        print(f"{kind:9} seed {seed}: {sizes}", *straddling(records, splits, audited.pairs))
    return files


def train(data: Path, splits: Path, run: Path, args, seed: int) -> dict:
    """Trains a run and returns its scores."""
    command = [sys.executable, "train_seg.py", "--arch", args.arch, "--data", data.resolve()]
    command += ["--out", run.resolve(), "--quiet", "--set", f"data.splits={splits.resolve()}"]
    command += ["--set", f"train.epochs={args.epochs}", "--set", f"seed={seed}"]
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)
    return json.loads((run / "summary.json").read_text())["metrics"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--arch", default="unet")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/split_leakage"))
    args = parser.parse_args()
    rows = []
    for seed in range(args.seeds):
        for kind, splits in split_files(args.data, args.out, seed).items():
            scores = train(args.data, splits, args.out / f"{kind}-{seed}", args, seed)
            val, test = scores["val"]["mean_iou"], scores["test"]["mean_iou"]
            rows.append({"split": kind, "seed": seed, "val": val, "test": test})
            print(f"{kind:9} seed {seed}: val {val:.3f}, test {test:.3f}, {val - test:+.3f}")
    (args.out / "split_leakage.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
