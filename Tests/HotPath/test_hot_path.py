"""Nothing that a worker, or the load generator, does in a turn of its loop allocates, counts references or
takes a lock.

The release binary is disassembled and every function that can be reached from `Worker.turn` is walked,
instruction by instruction along its jumps and direct calls. A call to the Swift runtime or to the
allocator anywhere on the way fails the test, with the path that leads there. Jump tables (switches) are read out of the binary.
Indirect calls are the kernel port's (C functions that enter the kernel), so their targets are walked too.
"""

import os
import re
import struct
import subprocess
from bisect import bisect_right
from collections import deque

WEIR = os.environ.get("WEIR", ".build/release/weir")
WEIR_BENCH = os.environ.get("WEIR_BENCH", os.path.join(os.path.dirname(WEIR), "weir-bench"))

TURN = re.compile(r"^\$s9Dataplane6WorkerV(4turn|5begin)")
EMULATED_TURN = re.compile(r"^\$s14EmulatedKernel7MachineV13submitAndWait")
LOAD_TURN = re.compile(r"^\$s5Bench10LoadWorkerV4turn")
ORIGIN_TURN = re.compile(r"^\$s5Bench12OriginWorkerV(4turn|3run)")
# The kernel port's functions, reached through pointers.
PORT = re.compile(r"^\$s4Ring10KernelPortV4real.*U\d*_To$|^\$s4Ring17realSubmitAndWait")
FORBIDDEN = re.compile(
    r"^(_*swift_(instantiate|retain|release|bridgeObject|alloc|dealloc|slowAlloc|slowDealloc|isUnique|beginAccess"
    r"|once|getGenericMetadata|dynamicCast|unknownObject|weak|unowned|initStack)\w*"
    r"|malloc|calloc|realloc|free|posix_memalign|aligned_alloc|pthread_mutex_\w+|_Znwm|_ZdlPv)(@plt)?$"
)
# Where the walk ends: what a failed precondition does to say so, and a table of the emulated kernel that
# doubles (memory straight from the system, never given back, so it comes to an end).
DEAD_ENDS = re.compile(
    r"PagedMemory.*reserve|assertionFailure|fatalError|swift_unexpectedError|_swift_runtime_on_report|stack_chk_fail|abort"
)
# What `throw` calls for debuggers, once for a message that is refused: no steady state, and nothing without a
# debugger but the first look-up of a table.
HOOKS = re.compile(r"^swift_willThrowTyped|^\$s5HTTP17RefusalO\w*s5Error\w*Wl$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t(\S+)(?:\s+(.*))?$")
TABLE = re.compile(r"#\s*([0-9a-f]+) <")
TARGET = re.compile(r"^([0-9a-f]+) <([^>+]+)(\+0x[0-9a-f]+)?>")


class Image:
    """The binary's bytes by virtual address."""

    def __init__(self, binary):
        with open(binary, "rb") as file:
            self.bytes = file.read()
        table, size, count = struct.unpack_from("<Q", self.bytes, 32)[0], *struct.unpack_from("<HH", self.bytes, 54)
        headers = [struct.unpack_from("<IIQQQQQQ", self.bytes, table + index * size) for index in range(count)]
        self.segments = [(h[3], h[3] + h[5], h[2] - h[3]) for h in headers if h[0] == 1]

    def int32(self, address):
        for start, end, shift in self.segments:
            if start <= address <= end - 4:
                return struct.unpack_from("<i", self.bytes, address + shift)[0]
        return None


def switch_targets(image, instructions, address, low, high):
    """Where `jmp *register` may go: the entries of the table whose address was loaded shortly before."""
    position, tables = address, []
    for _ in range(24):
        position = instructions[position][5]
        if position is None:
            break
        mnemonic, table = instructions[position][0], instructions[position][4]
        if mnemonic == "lea" and table is not None:
            tables.append(table)
    targets = set()
    for table in tables:
        for index in range(256):
            offset = image.int32(table + 4 * index)
            if offset is None or not low <= table + offset < high or table + offset not in instructions:
                break
            targets.add(table + offset)
    return targets


def disassemble(binary):
    """All instructions by address: [mnemonic, target, target's symbol, next, address loaded, previous]."""
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", binary], capture_output=True, text=True, check=True
    ).stdout
    symbols, instructions, previous = {}, {}, None
    for line in text.splitlines():
        if line.endswith(">:"):
            address, name = line[:-2].split(" <", 1)
            symbols[int(address, 16)] = name
            previous = None
            continue
        match = INSTRUCTION.match(line)
        if not match:
            continue
        address, mnemonic, operand = int(match[1], 16), match[2], match[3] or ""
        target = TARGET.match(operand)
        table = TABLE.search(operand)
        instructions[address] = [
            mnemonic,
            int(target[1], 16) if target else None,
            target[2] if target and not target[3] else None,
            None,
            int(table[1], 16) if table else None,
            previous,
        ]
        if previous is not None:
            instructions[previous][3] = address
        previous = address
    return symbols, instructions


def forbidden_calls(image, symbols, instructions, roots):
    """Walks from the roots; answers ([(symbol called, chain of functions that leads there)], all met)."""
    starts = sorted(symbols)
    came_from = {root: None for root in roots}
    queue, seen, found = deque((root, root) for root in roots), set(), []
    while queue:
        address, function = queue.popleft()
        while address in instructions and address not in seen:
            seen.add(address)
            mnemonic, target, symbol, following = instructions[address][:4]
            if target is not None and symbol and FORBIDDEN.match(symbol):
                found.append((symbol, chain(symbols, came_from, function)))
            elif target is not None and symbol and HOOKS.search(symbol):
                pass
            elif target is not None and symbol and DEAD_ENDS.search(symbol):
                if mnemonic == "call":
                    break
            elif target is not None and not (symbol and symbol.endswith("@plt")):
                if mnemonic == "call" and target not in came_from:
                    came_from[target] = function
                queue.append((target, target if mnemonic == "call" else function))
            if mnemonic == "jmp" and target is None:
                low = starts[bisect_right(starts, address) - 1]
                high = starts[min(bisect_right(starts, address), len(starts) - 1)]
                targets = switch_targets(image, instructions, address, low, high)
                queue.extend((place, function) for place in targets)
            if mnemonic in ("ret", "ud2", "hlt") or mnemonic.startswith("jmp"):
                break
            address = following
    return found, came_from


def chain(symbols, came_from, function):
    names = []
    while function is not None:
        names.append(symbols.get(function, hex(function)))
        function = came_from[function]
    demangled = subprocess.run(
        ["swift", "demangle", "--compact", "--simplified"], input="\n".join(names), capture_output=True, text=True
    ).stdout.split("\n")
    return " <- ".join(name.strip() for name in demangled if name.strip())


def walk(*patterns, binary=WEIR):
    symbols, instructions = disassemble(binary)
    roots = [address for address, name in symbols.items() if any(p.match(name) for p in patterns)]
    for pattern in patterns:
        assert any(pattern.match(symbols[root]) for root in roots), f"{pattern.pattern} is not in the binary"
    found, walked = forbidden_calls(Image(binary), symbols, instructions, roots)
    return sorted(set(found)), " ".join(symbols.get(address, "") for address in walked)


def test_a_turn_neither_allocates_nor_counts_references():
    found, walked = walk(TURN, PORT)
    # The walk must have met the data plane, or it proves nothing.
    for part in ("8dispatch", "12beginSession", "8sendNext", "9drainPipe", "6record", "12readResponse", "14recordExchange", "6answer", "12listSessions",
                 "16LeastConnections", "10PowerOfTwo", "14ConsistentHash", "8PeakEWMA", "8Adaptive", "7Prequal"):
        assert part in walked, f"{part} was not reached from a turn"
    assert not found, "\n".join(f"{symbol}: {path}" for symbol, path in found)


def test_nor_does_the_emulated_kernel():
    found, walked = walk(EMULATED_TURN)
    for part in ("5retry", "13submitReceive", "10submitSend", "14attemptConnect"):
        assert part in walked, f"{part} was not reached from a turn"
    # A connect to a unix socket whose queue is full keeps a copy of the address until it gets through.
    found = [(symbol, path) for symbol, path in found if not symbol.startswith("swift_slow")]
    assert not found, "\n".join(f"{symbol}: {path}" for symbol, path in found)


def test_nor_does_the_load_generator():
    found, walked = walk(LOAD_TURN, ORIGIN_TURN, PORT, binary=WEIR_BENCH)
    for part in ("10LoadWorkerV4send", "8received", "14ResponseReader", "12readRequests", "11RequestHead", "8sendOwed"):
        assert part in walked, f"{part} was not reached from a turn"
    assert not found, "\n".join(f"{symbol}: {path}" for symbol, path in found)
