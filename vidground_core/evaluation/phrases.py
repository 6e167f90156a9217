"""The phrases that the extractor knows, by language: cues before an answer, refusals, and service messages stored as replies."""

from __future__ import annotations

import re

_ADVERB = r"(?:\s+(?:most\s+)?(?:likely|probably|definitely|clearly|therefore|thus))?"

FINAL_CUE = re.compile(rf"\bfinal answer{_ADVERB}\s*(?:is\b|[:：=]){_ADVERB}\s*:?", re.IGNORECASE)

# Nothing but one letter up to the end of the line.
_LONE = r"(?=\W{0,4}(?:option\s{1,3})?\W{0,4}(?-i:[A-Z])\W{0,8}(?:\n|\Z))"

CUE = re.compile(
    rf"\b(?:answer|option|choice)['\"”]?(?: to [^.\n]{{0,60}}?)?(?:\s+(?:is|would be|should be|must be)\b|\s*[:：=]){_ADVERB}\s*:?"
    r"|\b(?:answer|option|choice)\s+[-–—]\s|\bans\s*[.:：=-]+|\bmy (?:pick|vote|choice) (?:is|would be)\b"
    r"|\bi(?:['’]d| would| will|['’]ll)?(?:\s+have to)?\s+(?:choose|pick|select|say|guess|go with|answer(?: with)?)\b\s*[:,]?"
    r"|\bi(?:['’]m| am) going with\b|\bguess (?:is|would be)\b\s*:?"
    rf"|\b(?:it['’]s|it (?:is|must be|should be|would be|has to be)|i (?:think|believe)(?: that)?)\b{_LONE}"
    rf"|(?:^|[,;])\W{{0,6}}(?:so|thus|therefore|hence|probably|(?:most )?likely|definitely|certainly|correct)\b{_LONE}"
    r"|(?<=[a-z]{2}[.!?])[ \n]{1,3}(?=\(?(?-i:[A-Z])\)?\.?\Z)"
    # Spanish, French, German, Portuguese, Italian, Russian, Arabic.
    r"|\b(?:respuesta|opción|réponse|antwort|resposta|opção|risposta|opzione)(?:\s+\w+)?"
    r"(?:\s+(?:es|est|ist|lautet|é|è)\b(?:\s+(?:la|le|die)\b)?|\s*[:：])\s*:?"
    r"|\bответ(?:\s*[:：—-]\s*|\s+(?=[A-Z]\b))|الإجابة(?:\s+الصحيحة)?(?:\s+هي)?\s*[:：]?"
    # Chinese, Japanese, Korean.
    r"|(?:答案|正解|答え)(?:应该)?(?:是|为|选|は)?\s*[:：]?|(?:选项|正确的)(?:应该)?(?:是|为|[:：])\s*[:：]?|(?<![不没])选(?!项)择?\s*[:：]?"
    r"|(?:정답|답변|답)(?:은|는)?\s*[:：]?",
    re.IGNORECASE | re.MULTILINE,
)

# What turns the words after it, or the cue after it, into the opposite or a mere supposition.
DISTANCING = re.compile(
    r"(?:\b(?:wrong|incorrect|false|worst|bad|least (?:likely|plausible|correct)|unlikely|if|whether|unless|suppose|assuming"
    r"|not|each|every|other|another)"
    r"|n['’]t)\s+(?:(?:think|believe|say|the|that|this|my|your|correct|right|best|most likely)\s+){0,4}\Z",
    re.IGNORECASE,
)

ENDORSEMENT = (
    r"\s+(?:is|seems|appears|looks|would be)\s+(?:to be\s+)?(?:the\s+)?(?:most\s+)?"
    r"(?:correct|right|best|likely|plausible|logical|reasonable|suitable|appropriate)\b"
    r"(?!\s+(?:to be\s+)?(?:wrong|incorrect|false|not\b|in\w+|un\w+|avoided|ruled|excluded|only))"
)
ENDORSED = re.compile(r"(?P<before>\b\w{1,30}\W{1,5})?\b(?P<letter>[A-Z])\)?" + ENDORSEMENT)
# What may stand before a letter that is endorsed: a mark or one of these words; "team B is the best" is about a team.
ENDORSING = re.compile(
    r"(?:[^\w\s]\s*|\n\s*|\b(?:option|choice|answer|letter|so|thus|therefore|hence|think|believe|say|but|then)\s+)\Z", re.IGNORECASE
)

# After a letter and a mark: the option is turned down.
DENIED = re.compile(
    r"\W*(?:(?:this|that|it|which)\s+)?(?:option\s+|choice\s+)?(?:is|seems|looks)\s+(?:\w+\s+)?"
    r"(?:wrong|incorrect|false|unlikely|implausible|impossible|ruled|eliminated|excluded)\b",
    re.IGNORECASE,
)

# A second thought that names another letter.
RETRACTED = re.compile(
    r"(?i:\b(?:wait|actually|correction|i mean|on second thought|or maybe|or perhaps|or rather|or possibly)\b)[^\n]{0,60}?(?<![\w'’])"
    r"([B-HJ-Z]|[AI](?!\s+[a-z]))(?![\w'’])"
)

# What may follow a letter without changing what it says.
COPULA = re.compile(r"\s*(?:です|だ|번?\s?(?:입니다|이다|예요|이에요)?|选项|项)?\W*\Z")

# A model that goes on with a question of its own after it has answered.
NEXT_QUESTION = re.compile(r"\n\s{0,8}(?:question|q|user|human|instruction)\s{0,2}\d{0,4}\s{0,2}[:：]", re.IGNORECASE)

REFUSAL = re.compile(
    r"\A\W*(?:unknown|undetermined|undeterminable|unanswerable|uncertain|unclear|unsure)\W*\Z"
    r"|\b(?:can\s?not|can['’]t|could\s?n[o'’]t|could not|(?:unable|not able|impossible|not possible|no way|difficult|hard) to)\s+"
    r"(?:\w+\s+){0,3}?(?:determine|answer|tell|say|see|view|watch|access|know|identify|infer|provide|assist|help"
    r"|be (?:determined|answered|inferred))"
    r"|\b(?:video|frames?|clip|footage|image)s? (?:is|are|was|were) (?:not|n['’]t) "
    r"(?:available|provided|visible|attached|accessible|shown|included)"
    r"|\b(?:no|without (?:the|a|any|seeing|watching|viewing|access))\b[^.\n]{0,40}\b(?:video|footage|frames?|clip|visual)"
    r"|\b(?:not enough|insufficient|lack of) (?:\w+ )?(?:information|context|details?)"
    r"|\b(?:don['’]t|do not) (?:know|have (?:access|enough|the video|any))|\b(?:not (?:sure|certain)|unsure)\b"
    r"|\b(?:please (?:provide|share|upload)|need to (?:see|watch|view)|i['’]m sorry|i apologi[sz]e|as an ai|decline to)"
    r"|\bnone of the (?:above|options)"
    # Spanish, French, German, Portuguese, Italian, Russian, Arabic.
    r"|\bno (?:se )?pued[eo]\b|\bno es posible|\blo siento|\bno tengo (?:acceso|información)"
    r"|\bje ne (?:peux|sais)|\bimpossible de|\bdésolée?\b|\bje n['’]ai pas"
    r"|\bkann (?:\w+\s+){0,8}nicht\b|\blässt sich (?:\w+\s+){0,4}nicht|\bnicht möglich|\bweiß (?:\w+\s+)?nicht"
    r"|\bnão (?:posso|sei|consigo|é possível)|\bnon (?:posso|so|è possibile)"
    r"|\bне (?:могу|знаю|вижу)|\bневозможно|لا (?:أستطيع|يمكنني|يمكن|أعرف)"
    # Chinese, Japanese, Korean.
    r"|无法|不能(?:确定|回答|判断|看)|不知道|看不到|[沒没]有视频|わかりません|分かりません|できません|수 없|모르겠|모릅니다",
    re.IGNORECASE,
)

# After a letter, a refusal with one of these is a caveat, not the answer.
ALTHOUGH = re.compile(r"\b(?:but|though|although|however|even)\b", re.IGNORECASE)

OUTAGE = re.compile(
    r"\W*(?:failed to obtain answer"
    r"|(?:api|openai|server|request|connection|network|timeout)\s?\w*\s?(?:error|failed|failure|timed out|refused|reset|aborted)"
    r"|error\W*\Z|error(?: code)?\s*[:=]|http(?: error)?\s*\d{3}|\d{3} (?:internal|bad gateway|service|too many|gateway)"
    r"|internal server error|(?:the )?(?:service|server|model) (?:is )?(?:temporarily |currently )?(?:unavailable|overloaded|busy)"
    r"|(?:bad )?gateway|too many requests|rate limit|max retries exceeded"
    r"|(?:you )?(?:have )?(?:exceeded your (?:current )?quota|quota exceeded)|overloaded"
    r"|timed?\s?-?out\W*\Z|(?:read|request|connection) timed out|(?:cuda )?out of memory\b|(?:doctype )?html>"
    r"|traceback \(most recent call|\{\s*['\"]error['\"])",
    re.IGNORECASE,
)
