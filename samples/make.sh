#!/usr/bin/env bash
# Makes the sample recordings, their words and transcripts.json. Needs espeak-ng and ffmpeg (with libmp3lame,
# libopus, libvorbis and libx264). The same versions of these tools give the same bytes; README.md names ours.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

rate=16000
bytes_per_ms=$((rate * 2 / 1000))
exact=(-hide_banner -loglevel error -nostdin -y -threads 1)
entries=()

# How much of the recording has been spoken so far.
now_ms() { echo $(($(stat -c %s sound.pcm) / bytes_per_ms)); }

pause() { head -c $(($1 * bytes_per_ms)) /dev/zero >>sound.pcm; }

# Every piece is spoken by itself, so where it begins and ends is known to the millisecond.
utter() {
    espeak-ng -v "$voice" -s 165 -w piece.wav "$1"
    ffmpeg "${exact[@]}" -i piece.wav -ar $rate -ac 1 -f s16le piece.pcm
    cat piece.pcm >>sound.pcm
}

begin() { : >sound.pcm; utterances=(); spoken=(); pause 120; }

# speaker NUMBER VOICE: opens an utterance.
speaker() { number=$1 voice=$2 start=$(now_ms) text='' private=(); }

words() { utter "$1"; text+="${text:+ }$1"; }

# secret CATEGORY WORDS [TAIL]: made-up personal data; TAIL is punctuation that is not part of it.
secret() {
    local from
    from=$(now_ms)
    utter "$2"
    private+=("[$from,$(now_ms)]")
    text+="${text:+ }<pii:$1>$2</pii:$1>${3:-}"
}

over() {
    local ranges
    ranges=$(IFS=,; echo "${private[*]-}")
    utterances+=("$(printf '{"speaker":%d,"start_ms":%d,"duration_ms":%d,"text":"%s","private_ms":[%s]}' \
        "$number" "$start" $(($(now_ms) - start)) "$text" "$ranges")")
    spoken+=("$(sed -E 's/<[^>]*>//g' <<<"$text")")
    pause 300
}

# finish NAME ENCODER…: writes the recording, its words and its line of transcripts.json.
finish() {
    local name=$1 hash lines
    shift
    ffmpeg "${exact[@]}" -f s16le -ar $rate -ac 1 -i sound.pcm "$@" -map_metadata -1 -t "$(now_ms)ms" \
        -fflags +bitexact -flags:a +bitexact "$here/$name"
    printf '%s\n' "${spoken[@]}" >"$here/$name.txt"
    hash=$(sha256sum "$here/$name" | cut -d' ' -f1)
    lines=$(IFS=,; echo "${utterances[*]}")
    entries+=("$(printf '  {"file":"%s","sha256":"%s","duration_ms":%d,"utterances":[%s]}' \
        "$name" "$hash" "$(now_ms)" "$lines")")
}

picture=(-f lavfi -i color=c=navy:s=64x48:r=1 -map 0:a -map 1:v -c:v libx264 -preset veryslow -crf 51
    -x264-params threads=1 -flags:v +bitexact -pix_fmt yuv420p)

begin
speaker 1 en-gb; words "The night shift begins at ten."; over
speaker 1 en-gb; words "Please check the pumps before you go home."; over
# Not every reader knows how much of the first and last frame of AAC is padding; at 48 kHz it is little.
finish night-shift.aac -c:a aac -b:a 32k -ar 48000 -f adts

begin
speaker 1 en-us; words "The ferry leaves at noon."; over
finish ferry.aiff -c:a pcm_s16be

begin
speaker 1 en-gb-scotland; words "Return the books by Friday, or ask for two more weeks."; over
finish library.flac -c:a flac -compression_level 12

begin
speaker 1 en-gb; words "Good morning. Is the workshop open today?"; over
speaker 2 en-us+f3; words "Yes, until five o'clock. What is broken?"; over
speaker 1 en-gb; words "Only the handle of a drawer."; over
finish workshop.mp3 -c:a libmp3lame -b:a 32k -write_xing 1

begin
speaker 1 en-us; words "Today we look at how a river moves sand."; over
speaker 1 en-us; words "Slow water drops it first."; over
finish lecture.mp4 "${picture[@]}" -c:a aac -b:a 32k -ar 48000 -movflags +faststart

begin
speaker 1 en-gb+f2; words "The beans need water every evening."; over
finish garden.mov -c:a aac -b:a 32k -ar 48000

begin
speaker 1 en-gb; words "The train on platform four is twelve minutes late."; over
finish platform.ogg -c:a libvorbis -q:a 1

begin
speaker 1 en-us+f4; words "Stir the rice, then let it rest with the lid on."; over
finish kitchen.opus -c:a libopus -b:a 16k -application voip

begin
speaker 1 en-gb; words "Hello, my name is"; secret name "Alex Sample" "."; over
speaker 1 en-gb; words "My account number is"; secret bank_account "zero zero one two three four" "."
words "I would like to change my address."; over
finish account.wav -c:a pcm_s16le

begin
speaker 1 en-us; words "Let us meet again next week and compare our notes."; over
finish meeting.webm -c:a libopus -b:a 16k

{
    echo '['
    for index in "${!entries[@]}"; do
        printf '%s%s\n' "${entries[$index]}" "$([ "$index" -lt $((${#entries[@]} - 1)) ] && echo , || true)"
    done
    echo ']'
} >"$here/transcripts.json"
