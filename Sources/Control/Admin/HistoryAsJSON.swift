// The history as JSON. What is here is in docs/openapi.json, and the other way round: a test compares them.

extension History {
    func write(to writer: inout JSONWriter) {
        writer.object { object in
            object.number("number", current.number!)
            object.string("file", file)
            object.flag("differs_from_file", differsFromFile)
            object.array("entries") { array in
                for entry in entries { entry.write(to: &array) }
            }
        }
    }
}

extension HistoryEntry {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.object { object in
            object.number("number", orNull: number)
            object.string("time", at.text)
            object.string("source", source.name.description)
            let file: String? = if case .reload(let file) = source { file } else { nil }
            object.string("file", orNull: file)
            object.number("restored", orNull: source.restored)
            object.number("changes", changes)
            object.array("changed") { array in changed.forEach { array.string(nil, $0) } }
            object.string("cause", orNull: cause)
        }
    }
}
