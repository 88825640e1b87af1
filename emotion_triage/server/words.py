"""The page's words, in English and French."""

from __future__ import annotations

from collections.abc import Mapping

from emotion_triage.affect.affect import Language

__all__ = ["WORDS", "clock"]

_PAIRS: Mapping[str, tuple[str, str]] = {
    "title": ("Calls now", "Appels en cours"),
    "team": ("Team", "Équipe"),
    "reviews": ("To review", "À réexaminer"),
    "sign_in": ("Sign in", "Se connecter"),
    "sign_out": ("Sign out", "Se déconnecter"),
    "token": ("Your token", "Votre jeton"),
    "token_wrong": (
        "This token is wrong, has expired or is not a person's.",
        "Jeton erroné, expiré ou qui n'est pas celui d'une personne.",
    ),
    "skip": ("Skip to the content", "Aller au contenu"),
    "other_language": ("Français", "English"),
    "call": ("Call", "Appel"),
    "queue": ("Queue", "File"),
    "level": ("Level", "Niveau"),
    "since": ("for", "depuis"),
    "reason": ("Reason", "Motif"),
    "why": ("What moved the score", "Ce qui a fait bouger la note"),
    "anger": ("Anger", "Colère"),
    "route": ("Route", "Acheminement"),
    "rule": ("rule", "règle"),
    "standing": ("Standing", "Dossier"),
    "no_calls": ("No call now.", "Aucun appel en cours."),
    "calm": ("calm", "calme"),
    "tense": ("tense", "tendu"),
    "escalated": ("escalated", "escalade"),
    "not_scored": ("not scored: the caller objects", "non noté : l'appelant s'y oppose"),
    "no_reason": ("nothing unusual for this caller", "rien d'inhabituel pour cet appelant"),
    "clear": ("clear", "sans antécédent"),
    "watch": ("watch", "à surveiller"),
    "protected": ("protected", "protégé"),
    "restricted": ("restricted", "restreint"),
    "unknown": ("unknown: the ledger does not answer", "inconnu : le registre ne répond pas"),
    "now": ("now", "maintenant"),
    "own_baseline": ("the caller's usual level", "sa propre référence"),
    "no_score_yet": ("no score yet", "pas encore de note"),
    "timeline": ("Timeline", "Chronologie"),
    "gap": ("no audio", "sans audio"),
    "from": ("from", "de"),
    "to": ("to", "à"),
    "at": ("At", "À"),
    "where": ("Where it goes, and why", "Où il va, et pourquoi"),
    "priority": ("priority", "priorité"),
    "skills": ("skills", "compétences"),
    "avoid": ("not to", "pas à"),
    "why_not": ("Each rule's say", "L'avis de chaque règle"),
    "chosen": ("chosen", "choisie"),
    "objected_rule": (
        "The caller objected: no rule is asked, the route is neutral.",
        "L'appelant s'y est opposé : aucune règle n'est consultée, l'acheminement est neutre.",
    ),
    "outcome": ("Outcome", "Suite"),
    "waiting": ("being sent", "en cours d'envoi"),
    "taken": ("taken by the engine", "pris par le routeur"),
    "replaced": ("replaced by a newer one", "remplacé par un plus récent"),
    "not_sent": ("recommended; no engine is told", "recommandé ; aucun routeur n'est informé"),
    "overridden": ("Overridden by", "Remplacé par"),
    "suggestion": ("Suggestion for the agent", "Suggestion pour le conseiller"),
    "decide": ("Decide", "Décider"),
    "override": ("Send the call elsewhere", "Envoyer l'appel ailleurs"),
    "override_do": ("Send", "Envoyer"),
    "to_queue": ("To queue", "Vers la file"),
    "your_reason": ("Your reason", "Votre motif"),
    "verdict": ("Was this contact abusive?", "Ce contact était-il abusif ?"),
    "abusive": ("Yes, abusive", "Oui, abusif"),
    "not_abusive": ("No", "Non"),
    "verdict_do": ("Say so", "Confirmer"),
    "verdict_said": ("Verdict", "Avis rendu"),
    "restrict": ("Restrict the caller", "Restreindre l'appelant"),
    "restrict_note": (
        "You answer for it by name; it ends by itself, and the caller may appeal.",
        "Vous en répondez nommément ; elle prend fin d'elle-même et l'appelant peut la contester.",
    ),
    "restrict_do": ("Restrict", "Restreindre"),
    "kind": ("What they may still do", "Ce qu'il peut encore faire"),
    "supervisor_line": ("a supervisor answers", "un responsable répond"),
    "callback_only": ("is called back", "est rappelé"),
    "writing_only": ("writes", "écrit"),
    "cool_off": ("no calls for a while", "pas d'appel pendant un temps"),
    "block": ("no calls", "pas d'appel"),
    "until": ("Until", "Jusqu'au"),
    "review_at": ("Review on", "Réexamen le"),
    "lift": ("Lift the restrictions", "Lever ses restrictions"),
    "lift_do": ("Lift", "Lever"),
    "done": ("Done.", "C'est fait."),
    "not_done": ("Not done:", "Non effectué :"),
    "ended": ("ended", "terminé"),
    "began": ("began", "début"),
    "lost": ("lost audio", "audio perdu"),
    "team_note": (
        "What each has been through, counted from calls alone: nobody's voice or manner is judged. Alphabetical order.",
        "Ce que chacun a traversé, compté d'après les seuls appels : personne n'est jugé. Par ordre alphabétique.",
    ),
    "agent": ("Agent", "Conseiller"),
    "abusive_contacts": ("Abusive contacts in the window", "Contacts abusifs sur la période"),
    "hard_in_shift": ("Hard contacts in the shift", "Contacts difficiles sur le service"),
    "rest": ("Rest left", "Repos restant"),
    "shielded": ("Shielded until", "Préservé jusqu'à"),
    "no_team": (
        "No agent is named in the configuration (team).",
        "Aucun conseiller n'est nommé dans la configuration (team).",
    ),
    "reviews_note": (
        "What waits for a person, the oldest first.",
        "Ce qui attend une personne, du plus ancien au plus récent.",
    ),
    "no_reviews": ("Nothing waits.", "Rien n'attend."),
    "restriction": ("restriction", "restriction"),
    "contact": ("contact", "contact"),
    "decided_by": ("decided by", "décidée par"),
    "about": ("About", "Objet"),
    "lost_link": ("The connection is lost; it is being made again.", "Connexion perdue ; elle se rétablit."),
    "load_slow": (
        "The server is busy: scores come a little later.",
        "Serveur chargé : les notes arrivent un peu plus tard.",
    ),
    "load_slower": ("The server is busy: scores come later.", "Serveur chargé : les notes arrivent plus tard."),
    "load_half": (
        "Too much load: calm callers are heard half of the time.",
        "Charge trop forte : les appelants calmes ne sont écoutés que la moitié du temps.",
    ),
    "load_tense": (
        "Too much load: only tense and escalated callers are heard.",
        "Charge trop forte : seuls les appelants tendus ou en escalade sont écoutés.",
    ),
    "load_full": (
        "Too much load: only tense and escalated callers are heard; new calls are not.",
        "Charge trop forte : ne sont écoutés que les appelants tendus ou en escalade, et aucun nouvel appel.",
    ),
    "no_ledger": ("The ledger cannot be asked:", "Le registre ne peut être consulté :"),
    "not_found": ("No such call is known any more.", "Cet appel n'est plus connu."),
}

WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {key: pair[0] for key, pair in _PAIRS.items()},
    "fr": {key: pair[1] for key, pair in _PAIRS.items()},
}
"""Every word of the page, by language and key."""


def clock(seconds: float) -> str:
    """Return a length of time to be read, in whole seconds.

    Examples
    --------
    >>> clock(7.9), clock(125.0), clock(3723.0)
    ('7 s', '2 min 05', '1 h 02 min')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02}"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
