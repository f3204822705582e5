// The trie against looking through all blocks.

import Base
import Limiting
import Testing

/// True where the address is in the block, bit by bit.
private func contains(_ block: AddressBlock, _ high: UInt64, _ low: UInt64, _ isIPv6: Bool) -> Bool {
    guard block.isIPv6 == isIPv6 else { return false }
    for bit in 0..<block.prefixLength {
        let isSet = { (high: UInt64, low: UInt64) -> Bool in
            if !isIPv6 { return low >> UInt64(31 - bit) & 1 == 1 }
            return (bit < 64 ? high >> UInt64(63 - bit) : low >> UInt64(127 - bit)) & 1 == 1
        }
        if isSet(block.high, block.low) != isSet(high, low) { return false }
    }
    return true
}

private func valueByLooking(_ blocks: [AddressBlock], _ high: UInt64, _ low: UInt64, _ isIPv6: Bool) -> UInt32
{
    var found: AddressBlock?
    for block in blocks where contains(block, high, low, isIPv6) {
        if block.prefixLength >= found?.prefixLength ?? 0 { found = block }
    }
    return found?.value ?? 0
}

@Suite struct AddressTrieTests {
    @Test(arguments: 0..<100 as Range<UInt64>) func agreesWithLookingThroughAll(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var blocks: [AddressBlock] = []
        // Few different bits, so that blocks lie within and beside each other.
        let sparse = { (random: inout RandomSource) in
            random.next() & random.next() & random.next()
                & (random.next(below: 2) == 0 ? .max : random.next())
        }
        for number in 0..<random.next(below: 60) {
            let isIPv6 = random.next(below: 2) == 0
            let near =
                blocks.isEmpty || random.next(below: 2) == 0
                ? nil : blocks[Int(random.next(below: UInt32(blocks.count)))]
            let high = isIPv6 ? near?.high ?? sparse(&random) : 0
            let low = (near?.low ?? sparse(&random)) & (isIPv6 ? .max : 0xFFFF_FFFF)
            // Mapped addresses are for a test of their own.
            if isIPv6, high == 0 { continue }
            blocks.append(
                AddressBlock(
                    high: high, low: low, isIPv6: isIPv6,
                    prefixLength: Int(random.next(below: isIPv6 ? 129 : 33)), value: number + 1))
        }
        let trie = AddressTrie(blocks)
        #expect(trie.isEmpty == blocks.isEmpty)
        for _ in 0..<200 {
            var (high, low, isIPv6) = (sparse(&random), sparse(&random), random.next(below: 2) == 0)
            if !blocks.isEmpty, random.next(below: 4) > 0 {
                let block = blocks[Int(random.next(below: UInt32(blocks.count)))]
                (high, low, isIPv6) = (block.high, block.low, block.isIPv6)
                let bit = UInt64(1) << UInt64(random.next(below: 64))
                switch random.next(below: 3) {
                case 0: low ^= bit
                case 1: high ^= bit
                default: break
                }
            }
            if isIPv6, high == 0 { continue }
            if !isIPv6 { (high, low) = (0, low & 0xFFFF_FFFF) }
            #expect(
                trie.value(high: high, low: low, isIPv6: isIPv6) == valueByLooking(blocks, high, low, isIPv6),
                "seed \(seed), \(high) \(low) \(isIPv6)")
        }
    }

    @Test func everythingAndOneAddress() {
        let trie = AddressTrie([
            AddressBlock(high: 0, low: 0, isIPv6: false, prefixLength: 0, value: 1),
            AddressBlock(high: 0, low: 0x0A00_0001, isIPv6: false, prefixLength: 32, value: 2),
            AddressBlock(high: 0, low: 1, isIPv6: true, prefixLength: 128, value: 3),
        ])
        #expect(trie.value(high: 0, low: 0xFFFF_FFFF, isIPv6: false) == 1)
        #expect(trie.value(high: 0, low: 0x0A00_0001, isIPv6: false) == 2)
        #expect(trie.value(high: 0, low: 0x0A00_0002, isIPv6: false) == 1)
        #expect(trie.value(high: 0, low: 1, isIPv6: true) == 3)
        #expect(trie.value(high: 0, low: 2, isIPv6: true) == 0)
    }

    /// RFC 4291, 2.5.5.2: written either way, asked either way.
    @Test func mappedAddressesAreIPv4() {
        let mapped = { (address: UInt64) in 0xFFFF_0000_0000 | address }
        let trie = AddressTrie([
            AddressBlock(high: 0, low: 0x0A00_0000, isIPv6: false, prefixLength: 8, value: 1),
            AddressBlock(high: 0, low: mapped(0xC0A8_0000), isIPv6: true, prefixLength: 112, value: 2),
        ])
        for (address, value) in [(0x0A01_0203, 1), (0xC0A8_0101, 2), (0xC0A9_0101, 0)] as [(UInt64, UInt32)] {
            #expect(trie.value(high: 0, low: address, isIPv6: false) == value)
            #expect(trie.value(high: 0, low: mapped(address), isIPv6: true) == value)
        }
    }

    @Test func nothingListed() {
        let trie = AddressTrie([])
        #expect(trie.isEmpty)
        #expect(trie.value(high: 5, low: 5, isIPv6: true) == 0)
        #expect(trie.value(high: 0, low: 5, isIPv6: false) == 0)
    }
}
