using System.Text.Json;
using System.Text.Json.Serialization;

namespace Marmot.ProviderSimulators;

/// <summary>
/// The file behind <c>--script</c>: verdicts by device token, <c>*</c> for the others, and the token endpoint's own.
/// <code>{"tokens": {"aabb…": [{"status": 410, "reason": "Unregistered"}], "*": [{"status": 503, "times": 3}]}, "oauth": [{"status": 503, "retryAfter":
/// "5"}]}</code>
/// </summary>
internal sealed class ScriptFile
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        ReadCommentHandling = JsonCommentHandling.Skip,
        AllowTrailingCommas = true,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower, allowIntegerValues: false) },
    };

    public Dictionary<string, Entry[]> Tokens { get; init; } = [];
    public Entry[] OAuth { get; init; } = [];

    /// <summary>False with what is wrong in the file.</summary>
    public static bool TryRead(string text, out ScriptFile script, out string mistake)
    {
        mistake = "";
        script = new ScriptFile();
        try
        {
            script = JsonSerializer.Deserialize<ScriptFile>(text, Json) ?? script;
        }
        catch (JsonException failure)
        {
            mistake = failure.Message;
            return false;
        }
        foreach (var entry in script.Tokens.Values.SelectMany(entries => entries).Concat(script.OAuth))
        {
            if (entry.Status is < 200 or > 599) mistake = $"status {entry.Status} is not between 200 and 599";
            else if (entry.DelayMs < 0) mistake = $"delayMs {entry.DelayMs} is negative";
            else if (entry.Times is < 1) mistake = $"times {entry.Times} is below 1";
        }
        return mistake.Length == 0;
    }

    /// <summary>One verdict as it stands in the file.</summary>
    public sealed class Entry
    {
        public int Status { get; init; } = 200;
        public string? Reason { get; init; }
        public string? RetryAfter { get; init; }
        public int DelayMs { get; init; }
        public SimulatedFault Fault { get; init; }
        public string? Body { get; init; }
        public string ContentType { get; init; } = "application/json";
        public int? Times { get; init; }

        public SimulatedVerdict ToVerdict() => new()
        {
            Status = Status,
            Reason = Reason,
            RetryAfter = RetryAfter,
            Delay = TimeSpan.FromMilliseconds(DelayMs),
            Fault = Fault,
            Body = Body,
            ContentType = ContentType,
            Times = Times ?? int.MaxValue,
        };
    }
}
