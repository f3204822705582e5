// What two Weirs say to each other when one takes the other's place, over a pair of sockets that keep messages apart.
// A message is a few words with a zero byte behind each, and at most one descriptor.
//
//   running one                              new one
//   weir-handover, version, pid, count  -->            (with its standard error)
//   socket, owner, addresses, marks     -->            (with the socket; `count` of them)
//   unusable, pool, backend, state      -->            (any number)
//   operated, pool, backend, file's, now -->           (any number; a backend as a file has it)
//   end                                 -->            reads, binds, sets workers up
//                                       <--  took, index, address (for each that it has use for)
//                                       <--  ready
//   go                                  -->            accepts, beside the running one
//                                       <--  serving
//   stops accepting; lets go of its end -->            looks for clients that wait, serves alone
//
// docs/upgrade.md says what each side does where the other one fails.

import CLinux
import Configuration
import Glibc

/// A listening socket on its way from one process to the next.
struct HandedSocket {
    enum Owner: String {
        case listener
        case admin
    }

    let owner: Owner
    /// As the file of the process that hands it over has it.
    let asked: Address
    /// What it is bound to.
    let actual: Address
    /// All workers accept on it.
    let isShared: Bool
    /// A unix socket whose path Weir made: whoever has it last takes it away.
    let ownsPath: Bool
    let descriptor: Int32

    /// The words of its message.
    var words: [String] {
        [
            "socket", owner.rawValue, asked.description, actual.description, isShared ? "shared" : "single",
            ownsPath ? "path" : "none",
        ]
    }
}

extension HandedSocket {
    /// What came; fails where the socket is not what the words say.
    init(_ words: [String], _ descriptor: Int32) throws(Failure) {
        guard words.count == 6, words[0] == "socket", let owner = Owner(rawValue: words[1]),
            let asked = Address(boundAs: words[2])
        else { throw Failure("the running Weir says `\(words.joined(separator: " "))` instead of a socket") }
        var isListening: Int32 = 0
        var length = UInt32(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &isListening, &length)
        guard isListening == 1, let actual = Address(boundTo: descriptor), actual.description == words[3]
        else {
            throw Failure("what the running Weir hands over for \(words[3]) is no socket that listens there")
        }
        self.init(
            owner: owner, asked: asked, actual: actual, isShared: words[4] == "shared",
            ownsPath: words[5] == "path", descriptor: descriptor)
    }
}

/// One end of the pair.
struct HandoverChannel {
    static let version = "2"
    /// Tells a process that it is to take another one's place, and by which descriptor.
    static let variable = "WEIR_HANDOVER"
    /// How long the new process has from its start until it is ready, and from there until it serves; also how long it
    /// waits for the running one.
    static let limitSeconds = 10.0
    private static let messageLimitBytes = 64 * 1024

    let descriptor: Int32

    /// The other end is gone, or its time is up.
    struct Lost: Error {
        let isLate: Bool
    }

    func send(_ words: [String], _ passed: Int32 = -1, before deadline: Double) throws(Lost) {
        var octets: [UInt8] = []
        for word in words { octets += Array(word.utf8) + [0] }
        while true {
            let count = weir_send_message(descriptor, octets, octets.count, passed)
            if count == octets.count { return }
            guard errno == EAGAIN || errno == EINTR else { throw Lost(isLate: false) }
            try wait(for: POLLOUT, before: deadline)
        }
    }

    func receive(before deadline: Double) throws(Lost) -> (words: [String], descriptor: Int32) {
        var octets = [UInt8](repeating: 0, count: Self.messageLimitBytes)
        while true {
            var passed: Int32 = -1
            let count = weir_receive_message(descriptor, &octets, octets.count, &passed)
            if count > 0 {
                let words = octets[..<count].split(separator: 0, omittingEmptySubsequences: false).dropLast()
                return (words.map { String(decoding: $0, as: UTF8.self) }, passed)
            }
            guard count < 0, errno == EAGAIN || errno == EINTR else { throw Lost(isLate: false) }
            try wait(for: POLLIN, before: deadline)
        }
    }

    private func wait(for events: Int32, before deadline: Double) throws(Lost) {
        let left = deadline - monotonicSeconds()
        if left <= 0 { throw Lost(isLate: true) }
        var wanted = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        poll(&wanted, 1, Int32((left * 1000).rounded(.up)))
    }
}
