#!/usr/bin/env bash
# The whole path on a folder laid out as ImageNet: a store, a search with it as proxy data, a winner retrained, measured
# on the test split, and asked about images. docs/imagenet_mini.md says what each step is for.
#
#     benchmarks/imagenet_path.sh DATA RESULTS
#
# The sizes are those of a few minutes on imagenet_like_mini; the environment changes them: SIDE (of the store),
# RESOLUTION (trained at), CAP, TRIALS, EPOCHS (of the search), RETRAIN_EPOCHS, SEEDS, PLAN.
set -euo pipefail
data=$1 results=$2 study=imagenet_path

nas data build "imagenet:$data" --side "${SIDE:=64}"

nas search --space mcu --data "imagenet:$data" --target data --resolution "${RESOLUTION:=48}" --cap "${CAP:=100k}" \
    --trials "${TRIALS:=12}" --epochs "${EPOCHS:=9}" --finalists 0 --plan "${PLAN:=auto}" \
    --study "$study" --results "$results"

nas retrain "$study" --top 1 --recipe tiny --set epochs="${RETRAIN_EPOCHS:=60}" --set resolution="$RESOLUTION" \
    --side "$SIDE" --hold-out 0.1 --seeds "${SEEDS:=3}" --results "$results"

models=("$results/$study"/retrain/*/*/0)
nas evaluate "${models[0]}" --data "imagenet:$data" --resolution "$RESOLUTION,$SIDE"
images=("$data"/val/*/*.JPEG)
nas predict "${models[0]}" "${images[@]:0:3}" --top 3
nas evaluate "${models[0]}" --images "$data/val" --csv "$results/predictions.csv"
