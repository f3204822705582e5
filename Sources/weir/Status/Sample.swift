// What /lb/stats answered, as values: as much of it as `weir status` and `weir top` show.

import LogReading

/// An object of the answer. What is missing is 0 or empty: a Weir of another version may leave it out.
struct JSONFields {
    private let members: [JSONMember]

    init(_ members: [JSONMember]) { self.members = members }

    func value(_ name: String) -> JSONValue? { members.first { $0.name == name }?.value }

    func number(_ name: String) -> UInt64 { value(name)?.wholeNumber ?? 0 }

    func text(_ name: String) -> String { value(name)?.string ?? "" }

    func isTrue(_ name: String) -> Bool { value(name) == .boolean(true) }

    func object(_ name: String) -> JSONFields {
        if case .object(let members)? = value(name) { JSONFields(members) } else { JSONFields([]) }
    }

    func objects(_ name: String) -> [JSONFields] {
        elements(name).compactMap { if case .object(let members) = $0 { JSONFields(members) } else { nil } }
    }

    func numbers(_ name: String) -> [UInt64] { elements(name).map { $0.wholeNumber ?? 0 } }

    func texts(_ name: String) -> [String] { elements(name).compactMap(\.string) }

    private func elements(_ name: String) -> [JSONValue] {
        if case .array(let elements)? = value(name) { elements } else { [] }
    }
}

/// All figures at one moment.
struct Sample {
    struct Listener {
        let name: String
        let mode: String
        let addresses: [String]
        let sessions: UInt64
        let requests: UInt64
        let finished: UInt64
        let failed: UInt64
        let bytesIn: UInt64
        let bytesOut: UInt64
        let bounds: [UInt64]
        let counts: [UInt64]

        /// What its rate is of.
        var done: UInt64 { mode == "http" ? requests : finished }
    }

    struct Backend {
        let pool: String
        let name: String
        let address: String
        let state: String
        let sharePercent: UInt64
        let weight: UInt64
        let isBackup: Bool
        let active: UInt64
        /// Keys in which it differs from the file.
        let differs: [String]
        /// Since an operator took it out; nil where nobody did.
        let takenOutSeconds: UInt64?
        let tries: UInt64
        let failures: UInt64
        let answers: UInt64
        let answerMicroseconds: UInt64
    }

    /// How far it is with ending.
    struct Drain {
        let sessions: UInt64
        let lastedSeconds: UInt64
        let leftSeconds: UInt64
    }

    let status: String
    let version: String
    let drain: Drain?
    /// What is in force, and whether its file says something else.
    let configurationNumber: UInt64
    let configurationSource: String
    let differsFromFile: Bool
    let engine: String
    let uptimeMicroseconds: UInt64
    let sessions: UInt64
    let sessionLimit: UInt64
    let residentBytes: UInt64
    let processorMicroseconds: UInt64
    let logDropped: UInt64
    let listeners: [Listener]
    let backends: [Backend]
    let panickingPools: [String]
    /// `pool/name` of backends that the file has and operators removed.
    let removedBackends: [String]

    /// nil where the text is none of Weir's.
    init?(_ body: [UInt8]) {
        guard let members = JSONObject.members(of: body) else { return nil }
        let fields = JSONFields(members)
        guard fields.value("uptime_us") != nil else { return nil }
        status = fields.text("status")
        version = fields.text("version")
        let drain = fields.object("draining")
        self.drain =
            drain.value("sessions") == nil
            ? nil
            : Drain(
                sessions: drain.number("sessions"), lastedSeconds: drain.number("lasted_s"),
                leftSeconds: drain.number("left_s"))
        let configuration = fields.object("configuration")
        configurationNumber = configuration.number("number")
        configurationSource = configuration.text("source")
        differsFromFile = configuration.isTrue("differs_from_file")
        engine = fields.text("engine")
        uptimeMicroseconds = fields.number("uptime_us")
        sessions = fields.number("sessions")
        sessionLimit = fields.number("session_limit")
        residentBytes = fields.number("resident_bytes")
        processorMicroseconds = fields.number("processor_us")
        logDropped = fields.object("totals").number("log_records_dropped")
        listeners = fields.objects("listeners").map(Listener.init)
        let pools = fields.objects("pools")
        panickingPools = pools.filter { $0.isTrue("panic") }.map { $0.text("name") }
        removedBackends = pools.flatMap { pool in
            pool.texts("removed").map { "\(pool.text("name"))/\($0)" }
        }
        backends = pools.flatMap { pool in
            pool.objects("backends").map { Backend(pool: pool.text("name"), $0) }
        }
    }
}

extension Sample.Listener {
    init(_ fields: JSONFields) {
        name = fields.text("name")
        mode = fields.text("mode")
        addresses = fields.texts("addresses")
        sessions = fields.number("sessions")
        requests = fields.number("requests")
        finished = fields.number("finished")
        failed = fields.number("failed")
        bytesIn = fields.number("bytes_in")
        bytesOut = fields.number("bytes_out")
        let durations = fields.object("durations")
        bounds = durations.numbers("bounds_us")
        counts = durations.numbers("counts")
    }
}

extension Sample.Backend {
    init(pool: String, _ fields: JSONFields) {
        self.pool = pool
        name = fields.text("name")
        address = fields.text("address")
        state = fields.text("state")
        sharePercent = fields.number("share_percent")
        weight = fields.number("weight")
        isBackup = fields.isTrue("backup")
        active = fields.number("active")
        differs = fields.texts("differs")
        takenOutSeconds = fields.value("taken_out_s")?.wholeNumber
        tries = fields.number("tries")
        failures = fields.number("failures")
        answers = fields.number("answers")
        answerMicroseconds = fields.number("answer_us")
    }
}
