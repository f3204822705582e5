// Both readings agree on the corpus of the fuzzer, and on many small changes to it.

import Glibc
import HTTP1Oracle
import Testing

/// The files of the corpus, by name.
private let corpus: [(name: String, octets: [UInt8])] = {
    let folder = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    let path = "/\(folder)/Corpus/http1"
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var files: [(String, [UInt8])] = []
    while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: entry.pointee.d_name) {
            String(cString: $0.bindMemory(to: CChar.self).baseAddress!)
        }
        if name.hasPrefix(".") { continue }
        guard let file = fopen("\(path)/\(name)", "r") else { continue }
        defer { fclose(file) }
        var octets = [UInt8](repeating: 0, count: 1 << 16)
        octets.removeLast(octets.count - fread(&octets, 1, octets.count, file))
        files.append((name, octets))
    }
    return files.sorted { $0.0 < $1.0 }
}()

@Suite struct DifferentialTests {
    @Test func theCorpusIsReadTheSame() {
        let differential = Differential()
        #expect(corpus.count > 100)
        for file in corpus {
            #expect(differential.differenceInCase(file.octets) == nil, "\(file.name)")
        }
    }

    @Test(arguments: 1...4)
    func changedCasesAreReadTheSame(seed: UInt64) {
        let differential = Differential()
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        let telling = Array("\r\n\r\n \t:;,/?#*0159afA.[]%@\"\0\u{7F}HTTP/1.1chunked".utf8) + [0x80, 0xFF]
        for _ in 0..<1500 {
            var octets = corpus[random(corpus.count)].octets
            if octets.count > 400 { octets.removeLast(octets.count - 400) }
            for _ in 0...random(3) {
                let place = 1 + random(octets.count)
                switch random(3) {
                case 0 where place < octets.count: octets.remove(at: place)
                case 1 where place < octets.count: octets[place] = telling[random(telling.count)]
                default: octets.insert(telling[random(telling.count)], at: min(place, octets.count))
                }
            }
            let difference = differential.differenceInCase(octets)
            #expect(difference == nil, "\(octets)")
        }
    }
}
