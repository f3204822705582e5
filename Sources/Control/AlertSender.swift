// Tells alerts to a webhook and a command, one after the other on a thread of its own, each within a time limit. Only
// a few wait: whoever does not listen hears of the rest in the event log.

import Base
import CLinux
import Configuration
import EmulatedKernel
import Glibc
import Probing
import Ring
import Synchronization

final class AlertSender: @unchecked Sendable {
    private let settings: AlertSettings
    private let engine: Engine
    private let events: EventLog
    private let webhook: SocketAddress?
    private let wakeDescriptor: Int32
    private let waiting = Mutex<[[UInt8]]>([])

    private static let queueLimit = 8
    private static let limitSeconds = 5
    /// A ring (the emulated one has two), a socket, what wakes the thread, and the command's pipe.
    static let descriptorLimit = 6

    /// nil where nobody is to be told.
    init?(_ settings: AlertSettings, _ engine: Engine, _ events: EventLog, webhook: SocketAddress?) {
        if settings.command.isEmpty && webhook == nil { return nil }
        self.settings = settings
        self.engine = engine
        self.events = events
        self.webhook = webhook
        wakeDescriptor = weir_eventfd()
    }

    func start() throws(Failure) {
        guard wakeDescriptor >= 0 else { throw Failure("cannot open an eventfd: \(errorText(errno))") }
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<AlertSender>.fromOpaque(context!).takeRetainedValue().main()
                return nil
            }, context)
        guard result == 0 else { throw Failure("cannot start a thread: \(errorText(result))") }
        pthread_detach(thread)
    }

    /// From the control thread; never waits.
    func send(_ alert: [UInt8]) {
        let isQueued = waiting.withLock { waiting in
            if waiting.count >= Self.queueLimit { return false }
            waiting.append(alert)
            return true
        }
        guard isQueued else {
            reportFailure("anybody", "\(Self.queueLimit) alerts wait already")
            return
        }
        var one: UInt64 = 1
        _ = write(wakeDescriptor, &one, 8)
    }

    private func reportFailure(_ recipient: StaticString, _ cause: String) {
        events.write(.error, "alert_not_sent") { record in
            record.word("to", recipient)
            record.text("cause", cause)
        }
    }

    // MARK: On its thread

    private func main() {
        let kernel = engine.kind == .epoll ? EmulatedKernel() : nil
        var prober: Prober?
        if webhook != nil {
            do throws(RingSetUpError) {
                var settings = ProberSettings()
                settings.inFlightLimit = 1
                prober = try Prober(port: kernel?.port ?? .real, settings)
            } catch {
                reportFailure("webhook", "\(error.step) failed: \(errorText(error.errno))")
            }
        }
        while true {
            var wake = pollfd(fd: wakeDescriptor, events: Int16(POLLIN), revents: 0)
            poll(&wake, 1, -1)
            var count: UInt64 = 0
            _ = read(wakeDescriptor, &count, 8)
            while let alert = waiting.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) {
                if let prober, let cause = post(alert, prober) { reportFailure("webhook", cause) }
                if let cause = run(alert) { reportFailure("command", cause) }
            }
        }
    }

    /// nil, or why it was not taken.
    private func post(_ alert: [UInt8], _ prober: Prober) -> String? {
        guard let webhook, let target = settings.webhook else { return nil }
        var exchange = HTTPExchange(host: target.address.description)
        exchange.target = target.target
        exchange.headers = [("User-Agent", "weir"), ("Content-Type", "application/json")]
        exchange.body = alert
        exchange.expectedStatuses = [200...299]
        let limit = UInt64(Self.limitSeconds) * 1_000_000_000
        let probe = Probe.http(exchange, to: webhook, timeoutNanoseconds: limit)
        guard prober.submit(probe, reference: 0) else { return "the prober takes nothing" }
        while true {
            let code = prober.turn(waitingUntil: prober.now + limit)
            if code != 0 { return "the ring stopped working: \(errorText(code))" }
            guard let result = prober.nextResult() else { continue }
            if result.cause == .ok { return nil }
            return "\(result.cause.name)\(result.detail.isEmpty ? "" : " (\(result.detail))")"
        }
    }

    private func run(_ alert: [UInt8]) -> String? {
        settings.command.isEmpty
            ? nil : ChildProcess.run(settings.command, input: alert, limitSeconds: Self.limitSeconds)
    }
}
