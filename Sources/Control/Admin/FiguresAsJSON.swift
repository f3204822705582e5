// The figures as JSON. What is here is in docs/openapi.json, and the other way round: a test compares them.

import Dataplane
import Telemetry

extension Figures {
    /// Everything.
    func write(to writer: inout JSONWriter) {
        writer.object { all in
            all.string("status", status)
            all.string("version", Version.text)
            all.string("engine", engine)
            all.number("uptime_us", uptimeMicroseconds)
            all.number("sessions", sessions)
            all.number("session_limit", sessionLimit)
            all.number("resident_bytes", residentBytes)
            all.number("processor_us", processorMicroseconds)
            drain.write("draining", sessions: sessions, to: &all)
            all.object("configuration") { object in
                let current = history.current
                object.number("number", current.number!)
                object.string("source", current.source.name.description)
                object.number("restored", orNull: current.source.restored)
                object.string("time", current.at.text)
                object.flag("differs_from_file", history.differsFromFile)
            }
            all.object("totals") { totals in
                for counter in Counter.allCases { totals.number(counter.name, total(counter)) }
            }
            all.object("reasons") { object in
                for (reason, count) in zip(Reason.allCases, reasons) { object.number(reason.name, count) }
            }
            all.array("workers") { array in workers.forEach { $0.write(to: &array) } }
            all.array("listeners") { array in listeners.forEach { $0.write(to: &array) } }
            all.array("pools") { array in pools.forEach { $0.write(to: &array) } }
        }
    }

    /// The pools with their backends, and the time, to reckon rates with.
    func writePools(to writer: inout JSONWriter) {
        writer.object { all in
            all.number("uptime_us", uptimeMicroseconds)
            all.array("pools") { array in pools.forEach { $0.write(to: &array) } }
        }
    }

    /// Who is connected: as numbers, and those that were asked for one by one.
    func writeSessions(to writer: inout JSONWriter, matched: Int, listed: [[UInt8]]) {
        writer.object { all in
            all.number("sessions", sessions)
            all.number("session_limit", sessionLimit)
            all.number("pending", pools.reduce(0) { $0 + $1.pending })
            all.array("listeners") { array in
                for listener in listeners {
                    array.object {
                        $0.string("name", listener.name)
                        $0.number("sessions", listener.sessions)
                        $0.number("session_limit", orNull: listener.sessionLimit)
                    }
                }
            }
            all.number("matched", matched)
            all.array("list") { array in listed.forEach { array.raw($0) } }
        }
    }
}

extension Figures.WorkerFigures {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.object { object in
            object.string("state", state.word)
            for counter in Counter.allCases { object.number(counter.name, counters[counter.rawValue]) }
        }
    }
}

extension Figures.ListenerFigures {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.object { object in
            object.string("name", name)
            object.string("mode", mode.rawValue)
            object.array("addresses") { array in addresses.forEach { array.string(nil, $0) } }
            object.number("sessions", sessions)
            object.number("session_limit", orNull: sessionLimit)
            object.number("accepted", self[.accepted])
            object.number("finished", self[.finished])
            object.number("failed", self[.failed])
            object.number("bytes_in", self[.bytesIn])
            object.number("bytes_out", self[.bytesOut])
            object.number("requests", self[.requests])
            object.object("responses") { responses in
                for (name, counter) in Self.responses { responses.number(name, self[counter]) }
            }
            object.number("unanswered", self[.unanswered])
            object.object("durations") { histogram in
                histogram.array("bounds_us") { array in
                    for index in durations.indices {
                        if let bound = DurationBuckets.boundMicroseconds(index) { array.number(nil, bound) }
                    }
                }
                histogram.array("counts") { array in durations.forEach { array.number(nil, $0) } }
                histogram.number("sum_us", self[.durationMicroseconds])
            }
        }
    }

    /// By the class of the status.
    static let responses: [(StaticString, ListenerCounter)] = [
        ("1xx", .responses1xx), ("2xx", .responses2xx), ("3xx", .responses3xx), ("4xx", .responses4xx),
        ("5xx", .responses5xx),
    ]
}

extension Figures.PoolFigures {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.object { object in
            object.string("name", name)
            object.string("balance", balance)
            object.flag("panic", isPanicking)
            object.number("pending", pending)
            object.number("full", full)
            object.array("backends") { array in backends.forEach { $0.write(to: &array) } }
            object.array("removed") { array in removed.forEach { array.string(nil, $0) } }
        }
    }
}

extension Figures.BackendFigures {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.object { object in
            object.string("name", name)
            object.string("address", address)
            object.string("state", String(describing: state.name))
            object.number("share_percent", share * 100 / 256)
            object.number("weight", weight)
            object.number("max_sessions", orNull: maxSessions)
            object.flag("backup", isBackup)
            object.number("active", active)
            object.array("differs") { array in differs.forEach { array.string(nil, $0) } }
            object.number("taken_out_s", orNull: takenOutSeconds)
            object.number("tries", self[.tries])
            object.number("failures", self[.failures])
            object.number("connect_failures", self[.connectFailures])
            object.number("answers", self[.answers])
            object.number("answer_us", self[.answerMicroseconds])
            object.number("bytes_in", self[.bytesIn])
            object.number("bytes_out", self[.bytesOut])
        }
    }
}

extension WorkerThread.State {
    var word: String {
        switch self {
        case .starting, .ready: "starting"
        case .serving: "serving"
        case .failed: "failed"
        case .ended: "ended"
        }
    }
}
