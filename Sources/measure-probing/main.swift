// What probes cost: the processor time of a prober's thread at a given rate, against a server of one's own (which is
// another process, and not counted). Built with WEIR_MEASURE=1 only:
//
//     measure-probing PORT [http|reset|connect] [probes a second] [seconds] [probes at a time] [epoll]

import Base
import EmulatedKernel
import Glibc
import Probing
import Ring

/// Of this process so far, in its own code and in the kernel for it.
func processorNanoseconds() -> (own: UInt64, kernel: UInt64) {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let nanoseconds = { (time: timeval) in UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_usec) * 1000 }
    return (nanoseconds(usage.ru_utime), nanoseconds(usage.ru_stime))
}

let arguments = CommandLine.arguments
guard arguments.count > 1, let port = UInt16(arguments[1]) else { fatalError("which port?") }
let kind = arguments.count > 2 ? arguments[2] : "http"
let rate = arguments.count > 3 ? UInt64(arguments[3]) ?? 1000 : 1000
let seconds = arguments.count > 4 ? UInt64(arguments[4]) ?? 5 : 5

let address = SocketAddress(ipv4: 0x7F00_0001, port: port)
let exchange = HTTPExchange(host: "localhost")
let patience: UInt64 = 1_000_000_000
let probe =
    kind == "connect"
    ? Probe.connection(to: address, timeoutNanoseconds: patience)
    : Probe(
        to: address, sending: exchange.request(), judge: exchange.judge, timeoutNanoseconds: patience,
        closesWithReset: kind == "reset")
let batch = arguments.count > 5 ? UInt64(arguments[5]) ?? 1 : 1
let emulated = arguments.count > 6 ? EmulatedKernel() : nil
let prober = try Prober(port: emulated?.port ?? .real, ProberSettings())

let start = prober.now
let total = rate * seconds
var submitted: UInt64 = 0
var taken: UInt64 = 0
var causes: [ProbeCause: Int] = [:]
var latencySum: UInt64 = 0
let before = processorNanoseconds()
while taken < total {
    while submitted < total, start + submitted * 1_000_000_000 / rate <= prober.now {
        for _ in 0..<batch where submitted < total {
            precondition(prober.submit(probe, reference: submitted), "the server is too slow for this rate")
            submitted += 1
        }
    }
    let code = prober.turn(waitingUntil: start + submitted * 1_000_000_000 / rate)
    guard code == 0 else { fatalError("errno \(code)") }
    while let result = prober.nextResult() {
        taken += 1
        causes[result.cause, default: 0] += 1
        latencySum += result.durationNanoseconds
    }
}
let after = processorNanoseconds()
let (own, kernel) = (after.own - before.own, after.kernel - before.kernel)
print(
    "\(total) probes (\(kind)) at \(rate)/s: \((own + kernel) / total) ns of processor time each, "
        + "\(own / total) of it outside the kernel; "
        + "\(Double((own + kernel) * 1000 / (prober.now - start)) / 10) % of a core; "
        + "mean duration \(latencySum / total / 1000) us; \(causes.map { "\($0.key.name) \($0.value)" })")
