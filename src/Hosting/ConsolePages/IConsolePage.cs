using Microsoft.AspNetCore.Http;

namespace Marmot.Hosting.ConsolePages;

/// <summary>A page of the console; servers add theirs.</summary>
public interface IConsolePage
{
    /// <summary>Its path without the slash, empty for the first page.</summary>
    string Path { get; }

    /// <summary>Name in the navigation.</summary>
    string Title { get; }

    /// <summary>Order in the navigation.</summary>
    int Order { get; }

    /// <summary>True when it shows what only an administrator may see: keys, addresses, hashes.</summary>
    bool NeedsLogin { get; }

    /// <summary>Writes what stands between header and footer.</summary>
    Task WriteAsync(ConsoleView view, CancellationToken cancel);

    /// <summary>Carries out an action of one of its forms; who acts has logged in.</summary>
    /// <exception cref="ArgumentException">A mistake of the operator's, in a sentence.</exception>
    /// <exception cref="IOException">It failed, in a sentence.</exception>
    Task<ActionOutcome> ActAsync(ConsoleAction action, CancellationToken cancel);
}

/// <summary>A page being written.</summary>
/// <param name="Html">Takes it.</param>
/// <param name="Query">What stands behind the question mark.</param>
/// <param name="By">Who has logged in: an npub, or <c>console link</c>; null for nobody.</param>
/// <param name="Csrf">Token that every form must send back.</param>
public sealed record ConsoleView(HtmlWriter Html, IQueryCollection Query, string? By, string Csrf)
{
    /// <summary>A value of the query, trimmed; empty when it is not there.</summary>
    public string Value(string name) => Query[name].ToString().Trim();

    /// <summary>Begins a form that acts.</summary>
    public void OpenForm(string path, string css = "") =>
        Html.Add($"""<form method="post" action="/{path}" class="{css}"><input type="hidden" name="csrf" value="{Csrf}">""");

    /// <summary>Begins a form of what a search found, to be selected and deleted; it sends the search back.</summary>
    public void OpenFound(string path, IReadOnlyCollection<string> fields)
    {
        OpenForm(path);
        foreach (var name in fields)
        {
            Html.Add($"""<input type="hidden" name="{name}" value="{Value(name)}">""");
        }
    }

    /// <summary>A cell that selects a row: field <c>selected</c>.</summary>
    public void AddSelect(string id) =>
        Html.Add($"""<td><input type="checkbox" name="selected" value="{id}" aria-label="select {id}"></td><td><code>{id}</code></td>""");

    /// <summary>Ends it with its buttons: actions <c>delete-selected</c> and <c>delete-found</c>.</summary>
    public void CloseFound()
    {
        Html.Add($"""<p><button name="action" value="delete-selected">Delete the selected</button> """);
        Html.Add($"""<button class="danger" name="action" value="delete-found">Delete all that the search finds</button></p></form>""");
    }
}

/// <summary>What an operator asks a page to do.</summary>
/// <param name="Name">The button.</param>
/// <param name="Form">All fields.</param>
/// <param name="By">Who: for the audit trail.</param>
/// <param name="IsConfirmed">The operator has seen what it does and said yes.</param>
public sealed record ConsoleAction(string Name, IFormCollection Form, string By, bool IsConfirmed)
{
    /// <summary>A field, trimmed; empty when it is not there.</summary>
    public string Value(string name) => Form[name].ToString().Trim();
}

/// <summary>What came of it.</summary>
/// <param name="Text">A sentence.</param>
/// <param name="NeedsConfirmation">Nothing was done yet: the sentence is a question.</param>
/// <param name="Lines">More, a line each.</param>
/// <param name="IsFailure">It did not work.</param>
public sealed record ActionOutcome(string Text, bool NeedsConfirmation = false, IReadOnlyList<string>? Lines = null, bool IsFailure = false)
{
    /// <summary>Asks first.</summary>
    public static ActionOutcome Confirm(string question) => new(question, NeedsConfirmation: true);
}
