// What a client or a backend does with its connection: a short list of steps for what it sends and when it
// ends, and beside it a plan for how it reads. Scripts are drawn at random from the kinds below.

import Base

enum Step {
    case send(UInt64)
    /// Goes on when so many bytes in all have come, at the end of input, or when patience is at an end.
    case awaitReceived(UInt64, patienceNanoseconds: UInt64)
    case pause(UInt64)
    /// Sends as many bytes as come in, until they end.
    case echo
    /// Sends no more (half-close).
    case end
    case awaitEnd(patienceNanoseconds: UInt64)
    case close
    case reset
    /// Does nothing until the other side is gone.
    case hang
}

struct Script {
    var steps: [Step] = []
    var never = false
    var readChunkBytes: UInt64 = 1 << 30
    var readPauseNanoseconds: UInt64 = 0
    var writeChunkBytes: UInt64 = 1 << 30
    var writePauseNanoseconds: UInt64 = 0
}

/// Draws scripts. `bulkBytes` is what counts as much in this world.
struct ScriptSource {
    var random: RandomSource
    let bulkBytes: UInt64
    let patienceNanoseconds: UInt64

    enum Kind: Int, CaseIterable {
        case plain, requestResponse, listenFirst, echo, bulk, halfCloseEarly
        case resetAfterSending, resetAfterReceiving, closeWithoutReading, neverRead, hang
        case closeAfterReceiving, closeAtOnce
    }

    mutating func below(_ bound: UInt64) -> UInt64 { bound == 0 ? 0 : random.next() % bound }
    mutating func oneIn(_ count: UInt64) -> Bool { below(count) == 0 }

    /// Small more often than large.
    mutating func size(upTo limit: UInt64) -> UInt64 {
        let bits = UInt64(64 - limit.leadingZeroBitCount)
        return min(limit, 1 + below(1 << (1 + below(bits))))
    }

    mutating func client(friendly: Bool) -> Script {
        let kinds: [Kind] =
            friendly
            ? [.plain, .requestResponse, .listenFirst, .echo, .bulk, .halfCloseEarly, .plain]
            : Kind.allCases
        return paced(script(kinds[Int(below(UInt64(kinds.count)))]))
    }

    mutating func backend(friendly: Bool) -> Script {
        let kinds: [Kind] =
            friendly
            ? [.plain, .listenFirst, .echo, .echo, .bulk, .halfCloseEarly] : Kind.allCases + [.echo, .echo]
        var kind = kinds[Int(below(UInt64(kinds.count)))]
        if kind == .requestResponse { kind = .listenFirst }
        var script = script(kind)
        if kind == .echo {
            script.steps = oneIn(3) ? [.send(size(upTo: 4096)), .echo] : [.echo]
            script.steps += [.end, .close]
        }
        return paced(script)
    }

    private mutating func script(_ kind: Kind) -> Script {
        var script = Script()
        let small = size(upTo: 20_000)
        let patience = patienceNanoseconds
        let politeEnd: [Step] = [.end, .awaitEnd(patienceNanoseconds: patience * 20), .close]
        switch kind {
        case .plain: script.steps = [.send(small)] + politeEnd
        case .requestResponse:
            var expected: UInt64 = 0
            for _ in 0...below(4) {
                expected += size(upTo: 2000)
                script.steps += [
                    .send(size(upTo: 2000)), .awaitReceived(expected, patienceNanoseconds: patience),
                ]
            }
            script.steps += politeEnd
        case .listenFirst:
            script.steps = [.awaitReceived(1 + below(3000), patienceNanoseconds: patience), .send(small)]
            script.steps += politeEnd
        case .echo:
            script.steps = [.send(small), .awaitReceived(small, patienceNanoseconds: patience)] + politeEnd
        case .bulk: script.steps = [.send(bulkBytes / 2 + below(bulkBytes))] + politeEnd
        case .halfCloseEarly: script.steps = [.end, .awaitEnd(patienceNanoseconds: patience * 20), .close]
        case .resetAfterSending: script.steps = [.send(oneIn(3) ? bulkBytes : small), .reset]
        case .resetAfterReceiving:
            script.steps = [.send(small), .awaitReceived(small, patienceNanoseconds: patience), .reset]
        case .closeWithoutReading:
            script.steps = [.send(small), .pause(below(patience)), .close]
            script.never = true
        case .neverRead:
            script.steps = [.send(small), .hang]
            script.never = true
        case .hang: script.steps = [.hang]
        case .closeAfterReceiving:
            script.steps = [.send(small), .awaitReceived(small, patienceNanoseconds: patience), .close]
        case .closeAtOnce: script.steps = [.close]
        }
        return script
    }

    /// Some read or write slowly, in pieces.
    private mutating func paced(_ original: Script) -> Script {
        var script = original
        if oneIn(4) {
            script.readChunkBytes = max(size(upTo: 30_000), bulkBytes / 100)
            script.readPauseNanoseconds = below(patienceNanoseconds / 20)
        }
        if oneIn(4) {
            script.writeChunkBytes = max(size(upTo: 30_000), bulkBytes / 100)
            script.writePauseNanoseconds = below(patienceNanoseconds / 20)
        }
        return script
    }
}
