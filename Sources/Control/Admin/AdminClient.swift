// Asks a running Weir's admin API, for commands: one request for each connection, with an end to waiting.

import Base
import Configuration
import Glibc
import Probing

public struct AdminClient {
    private let address: Address
    private let token: String?

    private static let waitSeconds = 10
    /// For commands: longer than Weir itself waits for one.
    private static let commandWaitSeconds = 40
    private static let answerLimitBytes = 256 << 20

    /// `text` is as in `admin.bind`; nil takes the first unix socket, else the first address, of the file's `admin`.
    /// Where neither is given nor a default file exists, the default address is asked. The token is the file's, or
    /// that of the environment's WEIR_ADMIN_TOKEN.
    public init(address text: String?, configurationFile: String?) throws(Failure) {
        let given = getenv("WEIR_ADMIN_TOKEN").map { String(cString: $0) }
        if let text {
            guard let address = Address(boundAs: text) else {
                throw Failure("`\(text)` is no address such as unix:/run/weir/admin.sock or 127.0.0.1:9900")
            }
            (self.address, token) = (address, given)
            return
        }
        guard let file = configurationFile ?? (try? ConfigurationFile.defaultPath()) else {
            (address, token) = (AdminSettings.defaultBind, given)
            return
        }
        guard let admin = try ConfigurationFile.read(file).admin else {
            throw Failure("\(file) has no `admin`: nobody can look at the Weir that runs with it")
        }
        address = admin.bind.first { if case .unix = $0 { true } else { false } } ?? admin.bind[0]
        token = given ?? admin.token
    }

    /// Answers whatever status comes.
    public func look(_ path: String) throws(Failure) -> (status: UInt16, body: [UInt8]) {
        try ask("GET", path, waitSeconds: Self.waitSeconds)
    }

    /// The body of an answer of 200.
    public func get(_ path: String) throws(Failure) -> [UInt8] {
        let (status, body) = try look(path)
        guard status == 200 else { throw unexpected(status, body) }
        return body
    }

    /// Asks for a change, with parameters as JSON; answers whatever status comes.
    public func command(
        _ method: String, _ path: String, _ parameters: [(name: String, value: JSON)] = []
    ) throws(Failure) -> (status: UInt16, body: [UInt8]) {
        let json = JSON.object(parameters.map { JSON.Member($0.name, $0.value) })
        return try ask(
            method, path, body: Array(json.text().utf8), waitSeconds: Self.commandWaitSeconds)
    }

    /// For answers that a command has nothing better to say of.
    public func unexpected(_ status: UInt16, _ body: [UInt8]) -> Failure {
        Failure("\(address) answers \(status): \(String(decoding: body.prefix(500), as: UTF8.self))")
    }

    private func ask(
        _ method: String, _ path: String, body: [UInt8] = [], waitSeconds: Int
    ) throws(Failure) -> (status: UInt16, body: [UInt8]) {
        let octets = try exchange(method, path, body, waitSeconds)
        let answer = octets.withUnsafeBufferPointer { octets in
            readHTTPAnswer(octets, hasEnded: true, isToHead: false) { reading -> (UInt16, [UInt8])? in
                guard case .answer(let status, let body, isWhole: true) = reading else { return nil }
                return (status, Array(body))
            }
        }
        guard let (status, body) = answer else { throw Failure("what answers at \(address) is no Weir") }
        return (status, body)
    }

    private func exchange(
        _ method: String, _ path: String, _ body: [UInt8], _ waitSeconds: Int
    ) throws(Failure) -> [UInt8] {
        guard let raw = address.reachable.socketAddress else { throw Failure("\(address) is no address") }
        let descriptor = socket(raw.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure("cannot open a socket: \(errorText(errno))") }
        defer { close(descriptor) }
        var limit = timeval(tv_sec: waitSeconds, tv_usec: 0)
        let size = UInt32(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
        guard raw.with({ connect(descriptor, $0, $1) }) == 0 else {
            throw Failure(
                "no Weir answers at \(address): \(errorText(errno)); `--admin ADDRESS` names another one")
        }
        let authorization = token.map { "Authorization: Bearer \($0)\r\n" } ?? ""
        let content =
            body.isEmpty
            ? "" : "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n"
        let head =
            "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\(authorization)\(content)\r\n"
        let request = Array(head.utf8) + body
        guard send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
            throw Failure("\(address) does not take a request: \(errorText(errno))")
        }
        return try receiveAll(descriptor)
    }

    private func receiveAll(_ descriptor: Int32) throws(Failure) -> [UInt8] {
        var octets: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while octets.count < Self.answerLimitBytes {
            let count = recv(descriptor, &piece, piece.count, 0)
            if count < 0 { throw Failure("\(address) does not answer: \(errorText(errno))") }
            if count == 0 { break }
            octets += piece[..<count]
        }
        return octets
    }
}

extension Address {
    /// Where to connect to what is bound so.
    fileprivate var reachable: Address {
        switch self {
        case .ipv4(0, let port): .ipv4(0x7F00_0001, port: port)
        case .ipv6(high: 0, low: 0, let port): .ipv6(high: 0, low: 1, port: port)
        default: self
        }
    }
}
