import pytest

from vidground_core.evaluation.answers import EXTRACTOR_VERSION, extract, plain, without_thinking

OPTIONS = ("red", "blue", "green", "a man is walking")

ANSWERS = [
    ("B", 1),
    ("b", 1),
    (" B\n", 1),
    ("B.", 1),
    ("(B)", 1),
    ("[B]", 1),
    ("**B**", 1),
    ("B)", 1),
    ("Ｂ", 1),
    ("B. blue", 1),
    ("(B) blue", 1),
    ("B: blue.", 1),
    ("b) blue", 1),
    ("B blue", 1),
    ("B. Because it is the usual colour.", 1),
    ("B, because skies are blue", 1),
    ("B because skies are", 1),
    ("B - the sky is usually so", 1),
    ("Option B", 1),
    ("Answer: B", 1),
    ("Answer: (D) a man is walking", 3),
    ("Best answer: C", 2),
    ("The answer is B", 1),
    ("The answer is B.", 1),
    ("The answer is: **B**", 1),
    ("The answer is:\nB", 1),
    ("The correct answer is option B: blue.", 1),
    ("The answer is the letter C.", 2),
    ("The answer is a.", 0),
    ("The answer is red.", 0),
    ("The answer is blue. It is a common colour.", 1),
    ("The answer is most likely C", 2),
    ("The correct option would be (C).", 2),
    ("A man is walking. The answer is B.", 1),
    ("A man is walking through A street. The answer is C because of A.", 2),
    ("A man is walking.", 3),
    ("a Man is  walking", 3),
    ("Red", 0),
    ("'green'", 2),
    ("I would choose C.", 2),
    ("I cannot see the video, but my best guess is B.", 1),
    ("I cannot watch the video. Based on common sense the answer is A.", 0),
    ("B is the correct answer.", 1),
    ("The answer is B, although I cannot see the video.", 1),
    ("Option C is correct.", 2),
    ("<answer>B</answer>", 1),
    ("<answer> (B) blue </answer>", 1),
    ("<answer>blue</answer>", 1),
    ("<answer>B", 1),
    ("<think>It may be A or C.</think><answer>B</answer>", 1),
    ("<think>The answer is A.</think>\nThe answer is C.", 2),
    ("so it is A.</think>C", 2),
    ("The answer is A. <answer>C</answer>", 2),
    (r"\boxed{B}", 1),
    (r"So $\boxed{\text{C}}$.", 2),
    (r"The answer is \boxed{D. a man is walking}", 3),
    ("First I thought the answer is A.\nFinal answer: C", 2),
    ("The scene shows grass.\n\nC", 2),
    ("Let me think about colours.\n**C. green**", 2),
    ("答案是B", 1),
    ("答案：C。", 2),
    ("La respuesta correcta es B.", 1),
    ("La bonne réponse est C", 2),
    ("Die Antwort ist B.", 1),
    ("B<|im_end|>", 1),
]

NOT_ANSWERS = [
    ("", "unparsed"),
    ("   ", "unparsed"),
    (".", "unparsed"),
    ("A or B", "unparsed"),
    ("A, B", "unparsed"),
    ("B and C", "unparsed"),
    ("A/B", "unparsed"),
    ("(B) (C)", "unparsed"),
    ("A. red\nB. blue\nC. green\nD. a man is walking", "unparsed"),
    ("Best answer: A. red, B. blue", "unparsed"),
    ("The answer is B or C.", "unparsed"),
    ("The answer is either B or C", "unparsed"),
    ("The answer is B. Actually, the answer is C.", "unparsed"),
    ("The answer is not B.", "unparsed"),
    ("Neither A nor B is correct.", "unparsed"),
    ("<answer>A</answer><answer>B</answer>", "unparsed"),
    ("<answer></answer> B", "unparsed"),
    ("<think>The answer is B.", "unparsed"),
    ("B. green", "unparsed"),
    ("E", "unparsed"),
    ("The answer is F.", "unparsed"),
    ("A dog is running.", "unparsed"),
    ("I think it is a car.", "unparsed"),
    ("Vitamin B is found in bread.", "unparsed"),
    ("red blue", "unparsed"),
    ("It is not red but something else", "unparsed"),
    ("Any of these.", "unparsed"),
    ("Because", "unparsed"),
    ("1. B", "unparsed"),
    ("The answer is B, not C.", "unparsed"),
    ("Cannot determine without the video", "refused"),
    ("I can't determine the answer without watching the video.", "refused"),
    ("I'm sorry, but I cannot answer this question.", "refused"),
    ("As an AI language model I have no access to the video.", "refused"),
    ("The video is not available, so the question cannot be answered.", "refused"),
    ("There is not enough information to decide.", "refused"),
    ("Please provide the video.", "refused"),
    ("It is impossible to tell from the text.", "refused"),
    ("<answer>Cannot be determined</answer>", "refused"),
    ("B. I cannot determine this without the video", "refused"),
    ("无法确定", "refused"),
    ("No puedo ver el video.", "refused"),
    ("Failed to obtain answer via API.", "failed"),
    ("Error code: 429 - rate limit reached", "failed"),
    ("Request timed out.", "failed"),
    ("503 Service Unavailable", "failed"),
    ("Connection error.", "failed"),
    ("{'error': 'overloaded'}", "failed"),
]


@pytest.mark.parametrize(("text", "option"), ANSWERS)
def test_an_answer_is_read_from_what_says_it(text: str, option: int) -> None:
    found = extract(text, OPTIONS)
    assert (found.outcome, found.option) == ("answer", option)


@pytest.mark.parametrize(("text", "outcome"), NOT_ANSWERS)
def test_nothing_is_guessed_from_what_is_no_answer(text: str, outcome: str) -> None:
    found = extract(text, OPTIONS)
    assert (found.outcome, found.option) == (outcome, None)


def test_letters_follow_the_order_shown_and_texts_do_not() -> None:
    order = (2, 3, 0, 1)
    assert extract("A", OPTIONS, order).option == 2
    assert extract("red", OPTIONS, order).option == 0
    assert extract("C. red", OPTIONS, order).option == 0
    assert extract("A. red", OPTIONS, order).outcome == "unparsed"


def test_an_option_that_declines_is_an_answer_not_a_refusal() -> None:
    options = ("yes", "no", "It cannot be determined")
    assert extract("C", options).option == 2
    assert extract("It cannot be determined.", options).option == 2
    assert extract("The answer is: it cannot be determined", options).option == 2


def test_options_that_differ_in_case_only_are_told_apart_by_writing_or_not_at_all() -> None:
    options = ("Polish", "polish", "german")
    assert extract("polish", options).option == 1
    assert extract("POLISH", options).outcome == "unparsed"


def test_options_that_are_letters_are_told_from_the_letters_they_stand_at() -> None:
    assert extract("A", ("b", "a", "e")).option == 0
    assert extract("B", ("b", "a", "e")).option == 1
    assert extract("The answer is A.", ("b", "a", "e")).option == 0
    assert extract("e", ("b", "a", "e")).option == 2
    assert extract("a", ("b", "a", "e")).outcome == "unparsed"
    assert extract("A", ("B", "A")).outcome == "unparsed"
    assert extract("A. B", ("B", "A")).option == 0


def test_an_option_given_twice_is_still_one_answer() -> None:
    assert extract("red", ("red", "blue", "red")).option == 0
    assert extract("A or C", ("red", "blue", "red")).option == 0


def test_signs_of_numbers_survive_comparison() -> None:
    assert extract("-5", ("5", "-5")).option == 1
    assert plain("(3.5).") == "3.5"


def test_an_article_or_a_pronoun_is_not_a_letter_however_many_options() -> None:
    options = tuple(f"option number {i}" for i in range(10))
    assert extract("I think so.", options).outcome == "unparsed"
    assert extract("A dog.", options).outcome == "unparsed"
    assert extract("I", options).option == 8


def test_thinking_is_cut_open_or_closed() -> None:
    assert without_thinking("<think>a</think> b <think>c</think> d") == "b   d"
    assert without_thinking("a </think> b") == "b"
    assert without_thinking("<think> a") == ""
    assert EXTRACTOR_VERSION == "3"


@pytest.mark.parametrize(
    "text",
    [
        "A" * 50_000,
        "no " + "a" * 20_000,
        "I would " * 9_000,
        "A. B. " * 20_000,
        "<answer>" * 3_000,
        "(" * 20_000,
        "it is" + " " * 30_000,
        "xx." + "\n" * 30_000 + "z",
    ],
)
def test_a_reply_that_runs_on_is_read_in_linear_time(text: str) -> None:
    assert extract(text, OPTIONS).outcome == "unparsed"
