// The keys that say who may come, and how often; `Keys.swift` has the rest of the table.

extension Keys {
    static let addressListLimit = 10_000
    static let burstRange = 1...1_000_000
    static let rateRange = 1...1_000_000
    static let rateKeyRange = 1...10_000_000
    /// How long a burst may take to come back.
    static let longestRefillNanoseconds: UInt64 = 30 * 86_400_000_000_000

    static var addressList: ValueType<[AddressRange]> {
        addressRange.oneOrList(limit: addressListLimit, of: "them").omittedWhenEmpty
    }

    static var rateLimit: Section<RateLimitSettings> {
        Section(
            title: "`rate_limit`",
            documentation:
                "How many requests (tcp mode: sessions) are taken. Beyond it: 429 (tcp mode: closed).",
            prototype: RateLimitSettings(),
            fields: [
                Field(
                    "key", \.key, rateKey,
                    "What has a limit of its own: each client, each network of clients, each value of a header "
                        + "(http mode), or each route (http mode)."),
                Field("rate", \.rate, rate, isRequired: true, "So many in the long run."),
                Field(
                    "burst", \.burst, ValueType.wholeNumber(burstRange).optional,
                    absent: "as many as `rate` says", "So many at once after a rest."),
                Field(
                    "keys", \.keys, .wholeNumber(rateKeyRange),
                    "How many clients (networks, values) are known at once, in 16 to 32 bytes each; beyond it, "
                        + "those that used least of their limit are forgotten."),
            ],
            judge: { node, settings, _, context in Validation.check(&settings, node, &context) })
    }

    private static var rateKey: ValueType<RateKey> {
        .scalar(
            expectation: "`client_ip`, a network as in `client_ip/24` or `client_ip/24/56` (IPv4/IPv6), "
                + "`header:NAME` or `route`",
            shape: .either([
                .choice(["client_ip", "route"]), .text(pattern: "^client_ip/[0-9]{1,2}(/[0-9]{1,3})?$"),
                .text(pattern: "^header:.+$"),
            ]),
            parse: { scalar throws(TextProblem) in try parseRateKey(scalar.text) },
            write: { $0.description })
    }

    private static func parseRateKey(_ text: String) throws(TextProblem) -> RateKey {
        if text == "route" { return .route }
        if text.hasPrefix("header:") { return .header(try HTTPText.headerName(String(text.dropFirst(7)))) }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts[0] == "client_ip", parts.count <= 3 else {
            let near = nearestSpelling(of: parts[0], among: ["client_ip", "route"])
            throw TextProblem(
                message: "unknown key \(text.quotedForMessage)",
                suggestion: near.map { ([$0] + parts.dropFirst()).joined(separator: "/") })
        }
        let ipv4Bits = parts.count > 1 ? try bits(parts[1], of: text, limit: 32) : 32
        let ipv6Bits = parts.count > 2 ? try bits(parts[2], of: text, limit: 128) : RateKey.defaultIPv6Bits
        return .clientNetwork(ipv4Bits: ipv4Bits, ipv6Bits: ipv6Bits)
    }

    private static func bits(_ digits: String, of text: String, limit: Int) throws(TextProblem) -> Int {
        if digits.utf8.count <= 3, let number = UInt8(digits), (1...limit).contains(Int(number)),
            String(number) == digits
        {
            return Int(number)
        }
        throw TextProblem(
            message:
                "the prefix \(digits.quotedForMessage) in \(text.quotedForMessage) is not from 1 to \(limit)",
            isComplete: true)
    }

    private static var rate: ValueType<Rate> {
        .scalar(
            expectation:
                "a rate such as `100/s`, `5/m`, `1000/h` or `1/d`, of at most \(rateRange.upperBound)",
            shape: .text(pattern: "^[0-9]{1,7}/[smhd]$"),
            parse: { scalar throws(TextProblem) in
                let text = scalar.text
                let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
                let isNumber = parts[0].utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
                guard isNumber, let count = Int(parts[0]), parts.count <= 2 else {
                    throw TextProblem(message: "\(text.quotedForMessage) is not a rate")
                }
                guard parts.count == 2, let unit = Rate.Unit(rawValue: parts[1]) else {
                    let unit = parts.count == 2 ? probableUnit(parts[1]) : "s"
                    throw TextProblem(
                        message:
                            "\(text.quotedForMessage) \(parts.count == 2 ? "is not a rate" : "has no unit")",
                        suggestion: unit.map { "\(count)/\($0)" })
                }
                if rateRange.contains(count) { return Rate(count: count, unit: unit) }
                throw TextProblem(message: "\(text.quotedForMessage) is out of range")
            },
            write: { $0.description })
    }

    private static func probableUnit(_ text: String) -> String? {
        switch text.lowercased() {
        case "s", "sec", "secs", "second", "seconds": "s"
        case "m", "min", "mins", "minute", "minutes": "m"
        case "h", "hr", "hour", "hours": "h"
        case "d", "day", "days": "d"
        default: nil
        }
    }
}

extension Validation {
    /// A limit whose keys were read.
    static func check(
        _ settings: inout RateLimitSettings, _ node: Node, _ context: inout ReadingContext
    ) {
        guard let burst = settings.burst else {
            settings.burst = settings.rate.count
            return
        }
        // Products of 128 bits.
        let refill = UInt64(burst).multipliedFullWidth(by: settings.rate.unit.nanoseconds)
        let longest = UInt64(settings.rate.count).multipliedFullWidth(by: Keys.longestRefillNanoseconds)
        guard (refill.high, refill.low) > (longest.high, longest.low), let given = node.value(at: "burst")
        else { return }
        context.report(
            "a burst of \(burst) at \(settings.rate) takes longer than "
                + "\(Quantities.durationText(nanoseconds: Keys.longestRefillNanoseconds)) to come back",
            at: given.span, expected: "less `burst`, or a higher `rate`")
    }

    /// In tcp mode nothing is known but the client's address.
    static func checkTCPRateLimit(_ listener: Listener, _ node: Node, _ context: inout ReadingContext) {
        guard let limit = listener.rateLimit, let key = node.value(at: "rate_limit")?.value(at: "key") else {
            return
        }
        if case .clientNetwork = limit.key { return }
        context.report(
            "\(limit.key.description.quotedForMessage) has no meaning with `mode: tcp`", at: key.span,
            hint: "in tcp mode sessions are limited by `client_ip` or a network as in `client_ip/24`")
    }

    /// No block may be in both lists: of two blocks the longer one decides, and these are as long as each other.
    static func checkAddressLists(_ listener: Listener, _ node: Node, _ context: inout ReadingContext) {
        let allowed = Set(listener.allow)
        for range in listener.deny where allowed.contains(range) {
            guard let deny = node.value(at: "deny") else { return }
            context.report(
                "\(range.description.quotedForMessage) is in `allow` and in `deny`", at: deny.span)
            return
        }
    }
}
