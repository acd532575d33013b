# Flattens a JSON document into lines "path<TAB>value", the path's parts joined by dots and line breaks in values shown as \n;
# with -v only=PATH it prints that one value as it is.
BEGIN { RS = "\001" }
{ rest = rest $0 }
END { value("") }

function space() { sub(/^[ \t\r\n]+/, "", rest) }
function skip(count) { rest = substr(rest, count + 1) }
function join_path(path, key) { return path == "" ? key : path "." key }

function leaf(path, text) {
  if (only == "") { gsub(/\n/, "\\n", text); print path "\t" text }
  else if (path == only) print text
}

function value(path,   first, index_) {
  space()
  first = substr(rest, 1, 1)
  if (first == "{") {
    skip(1)
    for (space(); substr(rest, 1, 1) == "\""; space()) {
      index_ = string()
      space(); skip(1)
      value(join_path(path, index_))
      space()
      if (substr(rest, 1, 1) == ",") skip(1)
    }
    skip(1)
  } else if (first == "[") {
    skip(1)
    index_ = 0
    for (space(); rest != "" && substr(rest, 1, 1) != "]"; space()) {
      value(join_path(path, index_++))
      space()
      if (substr(rest, 1, 1) == ",") skip(1)
    }
    skip(1)
  } else if (first == "\"") leaf(path, string())
  else if (match(rest, /^[-+.0-9a-zA-Z]+/)) { first = substr(rest, 1, RLENGTH); skip(RLENGTH); leaf(path, first) }
  else rest = ""
}

function string(   raw, out, at, next_) {
  if (!match(rest, /^"([^"\\]|\\.)*"/)) { rest = ""; return "" }
  raw = substr(rest, 2, RLENGTH - 2)
  skip(RLENGTH)
  out = ""
  while ((at = index(raw, "\\")) > 0) {
    out = out substr(raw, 1, at - 1)
    next_ = substr(raw, at + 1, 1)
    if (next_ == "u") { out = out utf8(hex(substr(raw, at + 2, 4))); raw = substr(raw, at + 6); continue }
    if (next_ == "n") next_ = "\n"
    else if (next_ == "t") next_ = "\t"
    else if (next_ == "r") next_ = "\r"
    else if (next_ == "b" || next_ == "f") next_ = ""
    out = out next_
    raw = substr(raw, at + 2)
  }
  return out raw
}

function hex(text,   i, number) {
  number = 0
  for (i = 1; i <= length(text); i++) number = number * 16 + index("0123456789abcdef", tolower(substr(text, i, 1))) - 1
  return number
}

function utf8(code) {
  if (code < 128) return sprintf("%c", code)
  if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
  return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
}
