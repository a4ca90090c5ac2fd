using System.Text;

namespace Marmot.TestKit.Servers;

/// <summary>Enough of a Redis for a client to think itself connected: it knows ECHO, PING and SUBSCRIBE, and refuses what else a client asks at
/// first.</summary>
internal static class RedisOpening
{
    /// <summary>The answers to whole commands (RESP2: arrays of bulk strings); null once one that changes something is among them.</summary>
    public static byte[]? Answer(ReadOnlySpan<byte> commands)
    {
        var lines = Encoding.Latin1.GetString(commands).Split("\r\n");
        var answer = new StringBuilder();
        for (var at = 0; at < lines.Length && lines[at] is ['*', .. var count];)
        {
            var words = lines[at..].Skip(2).Where((_, i) => i % 2 == 0).Take(int.Parse(count, System.Globalization.CultureInfo.InvariantCulture)).ToArray();
            at += 1 + (2 * words.Length);
            switch (words[0].ToUpperInvariant())
            {
                case "SET":
                    return null;
                case "ECHO":
                    answer.Append(System.Globalization.CultureInfo.InvariantCulture, $"${words[1].Length}\r\n{words[1]}\r\n");
                    break;
                case "PING":
                    answer.Append("+PONG\r\n");
                    break;
                case "SUBSCRIBE":
                    answer.Append(System.Globalization.CultureInfo.InvariantCulture, $"*3\r\n$9\r\nsubscribe\r\n${words[1].Length}\r\n{words[1]}\r\n:1\r\n");
                    break;
                default:
                    answer.Append("-ERR unknown command\r\n");
                    break;
            }
        }

        return Encoding.Latin1.GetBytes(answer.ToString());
    }
}
