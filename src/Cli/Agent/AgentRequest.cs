using System.Text.Json;
using Marmot.Client;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Cli.Agent;

/// <summary>One request line; every accessor names the argument it misses.</summary>
internal sealed class AgentRequest(JsonElement body)
{
    public JsonElement Body { get; } = body;

    public string Command { get; } = body.TryGetProperty("cmd", out var command) && command.ValueKind == JsonValueKind.String
        ? command.GetString()!
        : throw new ClientException("cmd is missing");

    public string Group => Text("group");

    public string Text(string name) => OptionalText(name) ?? throw new ClientException($"{name} is missing");

    public string? OptionalText(string name) => Find(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.String } text => text.GetString(),
        _ => throw new ClientException($"{name} must be a string"),
    };

    public bool Flag(string name, bool otherwise) => Find(name) switch
    {
        null => otherwise,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        _ => throw new ClientException($"{name} must be true or false"),
    };

    public long? OptionalNumber(string name) => Find(name) is not { } value ? null
        : value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) ? number
        : throw new ClientException($"{name} must be a whole number");

    public TimeSpan? OptionalTime(string name) => OptionalNumber(name) is { } milliseconds ? TimeSpan.FromMilliseconds(Math.Max(0, milliseconds)) : null;

    public IReadOnlyList<string>? OptionalTexts(string name) => Find(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Array } list =>
            [
                .. list.EnumerateArray()
                    .Select(item => item.ValueKind == JsonValueKind.String ? item.GetString()! : throw new ClientException($"{name} must hold strings"))
            ],
        _ => throw new ClientException($"{name} must be a list"),
    };

    public int[]? OptionalKinds(string name) => Find(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Array } list =>
            [
                .. list.EnumerateArray()
                    .Select(item => item.ValueKind == JsonValueKind.Number && item.TryGetInt32(out int kind)
                        ? kind
                        : throw new ClientException($"{name} must hold kinds"))
            ],
        _ => throw new ClientException($"{name} must be a list"),
    };

    public IReadOnlyList<string[]>? OptionalTags(string name) => Find(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Array } list => [.. list.EnumerateArray().Select(tag => tag.ValueKind == JsonValueKind.Array && tag.GetArrayLength() > 0
            ? tag.EnumerateArray()
                .Select(item => item.ValueKind == JsonValueKind.String
                    ? item.GetString()!
                    : throw new ClientException($"{name} must hold lists of strings")).ToArray()
            : throw new ClientException($"{name} must hold lists of strings"))],
        _ => throw new ClientException($"{name} must be a list"),
    };

    public Bytes32 Key(string name) => ToKey(Text(name), name);

    public IReadOnlyList<Bytes32>? OptionalKeys(string name) => OptionalTexts(name)?.Select(text => ToKey(text, name)).ToList();

    public NostrEvent? OptionalEvent(string name) => Find(name) is not { } value ? null
        : NostrEvent.TryParse(System.Text.Encoding.UTF8.GetBytes(value.GetRawText()), out var evt, out var reason) ? evt
        : throw new ClientException($"{name} is not an event: {reason}");

    public JsonElement? Find(string name) => Body.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    public static Bytes32 ToKey(string text, string name) =>
        Nip19.TryDecodePublicKeyOrHex(text, out var key) ? key : throw new ClientException($"{name} must be 64 hex digits or an npub");
}
