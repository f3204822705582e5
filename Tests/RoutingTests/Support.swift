// Requests for the tests of this folder: texts laid out in memory as a parser leaves them.

import Base

@testable import HTTP1
@testable import Routing

struct TestRequest {
    var method = "GET"
    var host = "example.com"
    var path = "/"
    var query = ""
    var fields: [(name: String, value: String)] = []

    /// Calls with a view of the request that is valid for that long.
    func withView<Result>(_ body: (RequestView) -> Result) -> Result {
        var bytes: [UInt8] = []
        func place(_ text: String) -> HeadRange {
            defer { bytes += Array(text.utf8) + [UInt8(ascii: " ")] }
            return HeadRange(offset: UInt32(bytes.count), count: UInt32(text.utf8.count))
        }
        let (method, path, query, host) = (place(method), place(path), place(query), place(host))
        let lines = UnsafeMutablePointer<Field>.allocate(capacity: max(fields.count, 1))
        defer { lines.deallocate() }
        for (index, field) in fields.enumerated() {
            let (name, value) = (place(field.name), place(field.value))
            (lines + index).initialize(
                to: Field(
                    nameOffset: name.offset, valueOffset: value.offset, valueCount: value.count,
                    nameCount: UInt16(name.count),
                    name: field.name.lowercased() == "cookie" ? .cookie : .other, isDropped: false))
        }
        return bytes.withUnsafeBufferPointer { bytes in
            body(
                RequestView(
                    base: bytes.baseAddress!, method: method, host: host, path: path, query: query,
                    fields: FieldTable(lines, capacity: max(fields.count, 1)), fieldCount: fields.count))
        }
    }
}

extension ByteView {
    var text: String { String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self) }
}
