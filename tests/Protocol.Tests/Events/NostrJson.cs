using System.Text;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Tests.Events;

/// <summary>Spellings of one event for tests.</summary>
internal static class NostrJson
{
    public static byte[] Utf8(string json) => System.Text.Encoding.UTF8.GetBytes(json);

    public static NostrEvent Parse(string json) =>
        NostrEvent.TryParse(Utf8(json), out var evt, out var reason) ? evt : throw new ArgumentException(reason.ToString(), nameof(json));

    public static byte[] ToNormalized(this NostrEvent evt)
    {
        Assert.True(NostrEventReader.TryRead(evt.Json.Span, out var view, out _));
        return view.ToNormalizedJson();
    }

    /// <summary>Writes every character inside every string as <c>\uXXXX</c>, names included.</summary>
    public static byte[] EscapeAll(string json)
    {
        var output = new StringBuilder();
        var inString = false;
        for (var i = 0; i < json.Length; i++)
        {
            var c = json[i];
            if (c == '"')
            {
                inString = !inString;
                output.Append(c);
            }
            else if (inString && c == '\\')
            {
                var length = json[i + 1] == 'u' ? 6 : 2;
                output.Append(json.AsSpan(i, length));
                i += length - 1;
            }
            else if (inString && !char.IsAsciiHexDigit(c))
            {
                output.Append($"\\u{(int)c:X4}");
            }
            else
            {
                output.Append(c);
            }
        }

        return Utf8(output.ToString());
    }
}
