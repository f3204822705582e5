// The requests that a run sends, laid out in memory once, before it begins: sending one is naming it. Shared by
// all load threads, which only read.

import Base

/// One kind of request.
struct Request: BitwiseCopyable {
    let bytes: UnsafeRawPointer
    let count: Int
    /// Bytes that the response's body (http) or the answer (tcp) must have; nil: not known beforehand.
    let responseBytes: UInt64?
}

/// All kinds, and how often each is drawn. Lives until the process ends.
struct Requests: BitwiseCopyable, @unchecked Sendable {
    private let requests: UnsafeMutablePointer<Request>
    /// For each kind, its weight and those of the kinds before.
    private let cumulativeWeights: UnsafeMutablePointer<UInt32>
    private let count: Int

    init(_ options: LoadOptions) {
        let entries =
            options.mix?.entries
            ?? [SizeMix.Entry(bytes: options.sizeBytes ?? (options.mode == .tcp ? 128 : 0), weight: 1)]
        count = entries.count
        requests = .allocate(capacity: count)
        cumulativeWeights = .allocate(capacity: count)
        var sum: UInt32 = 0
        for (index, entry) in entries.enumerated() {
            sum += entry.weight
            (cumulativeWeights + index).initialize(to: sum)
            let request =
                options.mode == .tcp ? Self.message(options, entry.bytes) : Self.http(options, entry.bytes)
            (requests + index).initialize(to: request)
        }
    }

    /// Draws a kind.
    @inline(__always)
    func draw(_ random: inout RandomSource) -> UInt16 {
        if count == 1 { return 0 }
        let number = random.next(below: cumulativeWeights[count - 1])
        var index = 0
        while cumulativeWeights[index] <= number { index += 1 }
        return UInt16(index)
    }

    subscript(kind: UInt16) -> Request { requests[Int(kind)] }

    private static func message(_ options: LoadOptions, _ bytes: Int) -> Request {
        let memory = PagedMemory.reserve(byteCount: bytes)
        memory.initializeMemory(as: UInt8.self, repeating: UInt8(ascii: "m"), count: bytes)
        return Request(bytes: memory, count: bytes, responseBytes: UInt64(options.responseBytes ?? bytes))
    }

    /// The size is the response's where there is a mix, else the body's.
    private static func http(_ options: LoadOptions, _ size: Int) -> Request {
        let bodyBytes = options.mix == nil ? size : options.sizeBytes ?? 0
        var path = options.path
        if options.mix != nil { path += (path.contains("?") ? "&" : "?") + "size=\(size)" }
        var head = "\(bodyBytes > 0 ? "POST" : "GET") \(path) HTTP/1.1\r\n"
        if !options.headers.contains(where: { $0.lowercased().hasPrefix("host:") }) {
            head += "Host: \(options.target.isUnix ? "localhost" : options.target.text)\r\n"
        }
        for header in options.headers { head += header + "\r\n" }
        if bodyBytes > 0 { head += "Content-Length: \(bodyBytes)\r\n" }
        if options.isFresh { head += "Connection: close\r\n" }
        head += "\r\n"
        let octets = Array(head.utf8)
        let memory = PagedMemory.reserve(byteCount: octets.count + bodyBytes)
        octets.withUnsafeBytes { memory.copyMemory(from: $0.baseAddress!, byteCount: octets.count) }
        (memory + octets.count).initializeMemory(
            as: UInt8.self, repeating: UInt8(ascii: "b"), count: bodyBytes)
        return Request(
            bytes: memory, count: octets.count + bodyBytes,
            responseBytes: options.responseBytes.map(UInt64.init))
    }
}
