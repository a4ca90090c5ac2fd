using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Marmot.Client;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;

namespace Marmot.Cli.Commands;

/// <summary>What every command has: the open client, and one way to say its result to a person or a script.</summary>
internal sealed class Context(ClientStore store, bool json, TextWriter output) : IAsyncDisposable
{
    private static readonly JsonSerializerOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, WriteIndented = true };

    private static readonly JsonSerializerOptions JsonLine = new(Json) { WriteIndented = false };

    private MarmotClient? _client;

    public ClientStore Store => store;

    public bool IsJson => json;

    /// <summary>True when the result was told and is not what was asked for: exit code 1.</summary>
    public bool HasFailed { get; set; }

    public MarmotClient Client =>
        _client ??= MarmotClient.HasAccount(store)
            ? MarmotClient.Open(store)
            : throw new ClientException("there is no account here yet; 'marmot init --relay URL' makes one");

    public void Use(MarmotClient client) => _client = client;

    /// <summary>The one result of a command: lines for a person, or one JSON value.</summary>
    public void Say(JsonNode value, params IEnumerable<string> lines)
    {
        if (json)
        {
            output.WriteLine(value.ToJsonString(Json));
            return;
        }

        foreach (string line in lines)
        {
            output.WriteLine(line);
        }
    }

    /// <summary>One of many results of a command that goes on: a line for a person, or JSON in one line.</summary>
    public void Tell(JsonNode value, string line) => output.WriteLine(json ? value.ToJsonString(JsonLine) : line);

    /// <summary>A group by its id, the start of its id, or its name when only one has it.</summary>
    public string Group(string text)
    {
        var groups = Client.GroupIds.Select(Client.GetState).ToList();
        var found = groups.Where(group => group.GroupId == text || group.NostrGroupId.ToString() == text).ToList();
        found = found.Count > 0 ? found : [.. groups.Where(group => text.Length >= 4 && group.GroupId.StartsWith(text, StringComparison.Ordinal))];
        found = found.Count > 0 ? found : [.. groups.Where(group => string.Equals(group.Name, text, StringComparison.OrdinalIgnoreCase))];
        return found.Count switch
        {
            1 => found[0].GroupId,
            0 => throw new ClientException($"no group '{text}'; 'marmot group list' shows them"),
            _ => throw new ClientException($"'{text}' means more than one group; use its id"),
        };
    }

    public static Bytes32 Key(string text) => ReadKey(text) is (var key, null) ? key : throw new UsageException(ReadKey(text).Mistake!);

    /// <summary>A public key, or why it is none.</summary>
    public static (Bytes32 Value, string? Mistake) ReadKey(string text) =>
        Nip19.TryDecodePublicKeyOrHex(text, out var key) ? (key, null) : (key, $"'{text}' is neither an npub nor 64 hex digits");

    /// <summary>How an event fared: a word for a person.</summary>
    public static string Fate(PublishedEvent published) =>
        published.Acked
            ? $"taken by {published.Replies.Count(reply => reply.Answer == RelayAnswer.Accepted)} of {Count(published.Replies.Count, "relay")}"
            : $"waits in the outbox ({published.Reasons})";

    public static string Count(int number, string noun) => $"{number} {noun}{(number == 1 ? "" : "s")}";


    public async ValueTask DisposeAsync()
    {
        if (_client is not null)
        {
            await _client.DisposeAsync();
        }

        store.Dispose();
    }
}
