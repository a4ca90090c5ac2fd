using System.Text.Json;
using Marmot.Protocol.Events;

namespace Marmot.Relay.Storage;

/// <summary>Whether a search finds an event (NIP-50): every word of it stands somewhere in the event's public text, whatever the case, also inside a longer
/// word.</summary>
internal static class SearchText
{
    /// <summary>Kinds with public text: profiles, notes, threads, comments, articles. Nothing else is ever searched, least of all ciphertext.</summary>
    public static readonly int[] Kinds = [0, 1, 11, 1111, 30023];

    private static readonly string[] ProfileFields = ["name", "display_name", "about", "nip05"];

    /// <summary>False for kinds without public text; true when there is no word at all.</summary>
    public static bool Finds(string search, in NostrEventView evt)
    {
        if (Array.IndexOf(Kinds, evt.Kind) < 0)
        {
            return false;
        }

        var text = evt.Kind == EventKinds.Profile ? ReadProfile(evt.ReadContent()) : evt.ReadContent();
        var title = evt.TryGetTag("title"u8, out var raw) ? System.Text.Encoding.UTF8.GetString(raw) : "";
        foreach (var range in search.AsSpan().Split(' '))
        {
            var word = search.AsSpan()[range];
            if (!word.IsEmpty && !IsExtension(word)
                && !text.AsSpan().Contains(word, StringComparison.OrdinalIgnoreCase) && !title.AsSpan().Contains(word, StringComparison.OrdinalIgnoreCase))
            {
                return false;
            }
        }

        return true;
    }

    // key:value asks for something beside the text, e.g. language:en; NIP-50 lets a relay ignore those it does not know. A link is a word.
    private static bool IsExtension(ReadOnlySpan<char> word)
    {
        var colon = word.IndexOf(':');
        return colon > 0 && !word[..colon].ContainsAnyExceptInRange('a', 'z') && !word[(colon + 1)..].StartsWith("//");
    }

    private static string ReadProfile(string content)
    {
        try
        {
            using var profile = JsonDocument.Parse(content);
            return profile.RootElement.ValueKind != JsonValueKind.Object ? "" : string.Join('\n', ProfileFields
                .Select(name => profile.RootElement.TryGetProperty(name, out var field) && field.ValueKind == JsonValueKind.String ? field.GetString() : null));
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            return ""; // no JSON, or a broken escape in it
        }
    }
}
