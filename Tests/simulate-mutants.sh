#!/bin/sh
# Builds the simulator with the planted defects, in a build of its own, and shows that each of them is caught
# within 1,000 seeds. Exit code 1 where one is not.
cd "$(dirname "$0")/.." || exit 2
build=.build/mutants
${SWIFT:-swift} build -c release --product simulate --scratch-path $build -Xswiftc -DMUTANTS >&2 || exit 2
simulate=$build/release/simulate
export SWIFT_BACKTRACE=enable=no
missed=0
printf '| planted defect | caught by seed | what the simulator says |\n|---|---|---|\n'
for name in $($simulate --list-mutants); do
    said=$($simulate --mutant "$name" --seeds 1..1000 --quiet 2>&1)
    status=$?
    mode=
    if [ $status -ne 1 ]; then
        said=$($simulate --http --mutant "$name" --seeds 1..1000 --quiet 2>&1)
        status=$?
        mode='http '
    fi
    if [ $status -eq 1 ]; then
        seed=$mode$(echo "$said" | sed -n 's/^seed \([0-9]*\) failed.*/\1/p')
        words=$(echo "$said" | sed -n 's/^.*Fatal error: //p' | head -1)
        [ -n "$words" ] || words=$(echo "$said" | sed -n 's/^seed.*clean ones: //p' | cut -c1-90)
        printf '| %s | %s | %s |\n' "$name" "$seed" "$words"
    else
        printf '| %s | NOT CAUGHT | |\n' "$name"
        missed=1
    fi
done
exit $missed
