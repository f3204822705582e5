// The keys of `admin`: where Weir is looked at, and who may. Part of the table in `Keys.swift`.

/// Where the admin API is served.
public struct AdminSettings: Equatable, Sendable {
    /// The same address as in the configuration that `weir status` looks for where there is none.
    public static let defaultBind = Address.unix(path: "/run/weir/admin.sock")

    public var bind = [AdminSettings.defaultBind]
    /// What clients over TCP have to know; nil only where all of `bind` are unix sockets or loopback.
    public var token: String?

    public init() {}
}

extension Address {
    /// Only this host gets there. What systemd or a container publishes is for those to say.
    public var isLocal: Bool {
        switch self {
        case .ipv4(let bits, _): bits >> 24 == 127
        case .ipv6(let high, let low, _): high == 0 && low == 1
        case .unix: true
        case .name: false
        }
    }
}

extension Configuration {
    /// The same with nothing in it that must not be shown.
    public var withoutSecrets: Configuration {
        var copy = self
        if copy.admin?.token != nil { copy.admin?.token = "(hidden)" }
        return copy
    }
}

extension Keys {
    static let adminBindLimit = 16
    static let tokenLengths = 16...256

    static var admin: Section<AdminSettings> {
        Section(
            title: "`admin`", documentation: "Where Weir is looked at: see docs/admin.md.",
            prototype: AdminSettings(),
            fields: [
                Field(
                    "bind", \.bind, bindAddress.oneOrList(limit: adminBindLimit, of: "them"),
                    "Where the admin API and metrics are: `unix:/path`, `127.0.0.1:9900`."),
                Field(
                    "token", \.token, token.optional, absent: "none wanted",
                    "What clients over TCP must send; required where `bind` has an address other than loopback."
                ),
            ],
            judge: { node, admin, owner, context in check(admin, node, owner, &context) })
    }

    /// What goes into an Authorization field as it is (b64token of RFC 6750, section 2.1).
    private static var token: ValueType<String> {
        .scalar(
            expectation:
                "\(tokenLengths.lowerBound) to \(tokenLengths.upperBound) letters, digits or `-._~+/=`",
            shape: .text(pattern: "^[A-Za-z0-9._~+/=-]{16,256}$"),
            parse: { scalar throws(TextProblem) in
                let text = scalar.text
                // The message does not repeat it: it may end up in a log.
                guard tokenLengths.contains(text.utf8.count) else {
                    throw TextProblem(message: "the token has \(text.utf8.count) characters")
                }
                guard text.unicodeScalars.allSatisfy(isOfToken) else {
                    throw TextProblem(message: "the token has a character that does not belong in one")
                }
                return text
            },
            write: { $0 })
    }

    private static func isOfToken(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "A"..."Z", "a"..."z", "0"..."9", "-", ".", "_", "~", "+", "/", "=": true
        default: false
        }
    }

    private static func check(
        _ admin: AdminSettings, _ node: Node, _ owner: SourceSpan, _ context: inout ReadingContext
    ) {
        guard case .mapping(let entries) = node.content, admin.token == nil else { return }
        // One that was given and is wrong has been reported.
        if entries.contains(where: { $0.key == "token" }) { return }
        guard let open = admin.bind.first(where: { !$0.isLocal }) else { return }
        context.report(
            "`admin` needs a `token`: others than this host get to \(open)", at: owner,
            expected: "`token`, or a unix socket or loopback in `bind`")
    }
}
