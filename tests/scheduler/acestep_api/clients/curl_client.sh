#!/bin/sh
# A client of ACE-Step's API server: the example commands of its docs/en/API.md.
# Arguments: the server, its key, a song. Prints the audio's size and kind for each task.
set -eu
SERVER=$1 KEY=$2 SONG=$3

field() { python3 -c "import json,sys; d=json.load(sys.stdin); print(eval(sys.argv[1]))" "$1"; }

finish() {
  while :; do
    TASK=$(curl -sS --fail-with-body -X POST "$SERVER/query_result" \
      -H "Authorization: Bearer $KEY" \
      -H 'Content-Type: application/json' \
      -d "{
    \"task_id_list\": [\"$1\"]
  }")
    STATUS=$(echo "$TASK" | field 'd["data"][0]["status"]')
    [ "$STATUS" = 0 ] || break
    sleep 0.2
  done
  FILE=$(echo "$TASK" | field 'json.loads(d["data"][0]["result"])[0]["file"]')
  KIND=$(curl -sS --fail-with-body -H "Authorization: Bearer $KEY" "$SERVER$FILE" \
    -o "$2" -w '%{content_type}')
  echo "$STATUS $KIND"
}

ID=$(curl -sS --fail-with-body -X POST "$SERVER/release_task" \
  -H "Authorization: Bearer $KEY" \
  -H 'Content-Type: application/json' \
  -d '{
    "prompt": "upbeat pop song",
    "lyrics": "Hello world",
    "inference_steps": 8,
    "metas": {"bpm": 120, "keyScale": "C Major", "timeSignature": "4", "duration": 10}
  }' | field 'd["data"]["task_id"]')
finish "$ID" json.mp3

ID=$(curl -sS --fail-with-body -X POST "$SERVER/release_task" \
  -d "ai_token=$KEY" -d 'caption=slow waltz' -d 'audioDuration=10' -d 'audioFormat=wav' \
  -d 'batchSize=1' -d 'timeSignature=3' \
  | field 'd["data"]["task_id"]')
finish "$ID" form.wav

ID=$(curl -sS --fail-with-body -X POST "$SERVER/release_task" \
  -H "Authorization: Bearer $KEY" \
  -F "prompt=remix this song" \
  -F "src_audio=@$SONG" \
  -F "task_type=repaint" \
  | field 'd["data"]["task_id"]')
finish "$ID" files.mp3
