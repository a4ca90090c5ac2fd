using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using Marmot.Hosting;
using Marmot.Protocol.Addresses;

namespace Marmot.Relay.Connections;

/// <summary>The opening handshake of a client (RFC 6455, 4.2.1) read from the first bytes of a connection.</summary>
/// <remarks>Takes only what is plainly right; whatever is unusual goes to the HTTP server, which refuses or serves it.</remarks>
/// <param name="Host">The name the client came by.</param>
/// <param name="Key">To be answered with <see cref="Accept"/>.</param>
/// <param name="Extensions">What it offers, several headers joined by commas; null for nothing.</param>
/// <param name="ForwardedFor">What a proxy says about the caller's address, for <see cref="TrustedProxies"/>; null for nothing.</param>
internal readonly record struct WebSocketRequest(string Host, string Key, string? Extensions, string? ForwardedFor)
{
    private const int MaxSize = 16 * 1024;
    private const int KeyLength = 24; // base64 of 16 bytes
    private const string AcceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455, 1.3

    private static readonly SearchValues<char> BlanksInNames = SearchValues.Create(" \t");

    public static RequestResult TryRead(in ReadOnlySequence<byte> source, out WebSocketRequest request, out SequencePosition end)
    {
        request = default;
        var result = RequestHead.Find(source, MaxSize, out var lines, out end);
        return result != RequestResult.Complete || (Ascii.IsValid(lines) && TryParse(Encoding.ASCII.GetString(lines[..^2]), out request))
            ? result
            : RequestResult.Other;
    }

    /// <summary>The header value that proves that the server understood (RFC 6455, 4.2.2).</summary>
    [System.Diagnostics.CodeAnalysis.SuppressMessage("Security", "CA5350", Justification = "RFC 6455 prescribes SHA-1 here; nothing rests on it.")]
    public static string Accept(string key) => Convert.ToBase64String(SHA1.HashData(Encoding.ASCII.GetBytes(key + AcceptSuffix)));

    private static bool TryParse(ReadOnlySpan<char> head, out WebSocketRequest request)
    {
        request = default;
        string? host = null, key = null, extensions = null, forwardedFor = null;
        bool upgrade = false, connection = false, version = false, first = true;
        foreach (var range in head.Split("\r\n"))
        {
            var line = head[range];
            if (first)
            {
                first = false;
                if (!line.EndsWith(" HTTP/1.1", StringComparison.Ordinal) || (line[5] != ' ' && line[5] != '?') || line[..^9].Count(' ') != 1)
                {
                    return false;
                }

                continue;
            }

            var colon = line.IndexOf(':');
            if (colon <= 0 || line[..colon].ContainsAny(BlanksInNames) || line.ContainsAnyInRange('\0', '\u001F'))
            {
                return false;
            }

            var name = line[..colon];
            var value = line[(colon + 1)..].Trim(' ');
            if (Is(name, "Host"))
            {
                if (host is not null)
                {
                    return false;
                }

                host = value.ToString();
            }
            else if (Is(name, "Sec-WebSocket-Key"))
            {
                if (key is not null || value.Length != KeyLength)
                {
                    return false;
                }

                key = value.ToString();
            }
            else if (Is(name, "Sec-WebSocket-Extensions"))
            {
                extensions = Join(extensions, value);
            }
            else if (Is(name, TrustedProxies.ForHeader))
            {
                forwardedFor = Join(forwardedFor, value);
            }
            else if (Is(name, "Sec-WebSocket-Version"))
            {
                version = value is "13";
            }
            else if (Is(name, "Upgrade"))
            {
                upgrade = Is(value, "websocket");
            }
            else if (Is(name, "Connection"))
            {
                connection = HasUpgrade(value);
            }
            else if (Is(name, "Content-Length") || Is(name, "Transfer-Encoding"))
            {
                return false;
            }
        }

        if (!upgrade || !connection || !version || !HostName.TryParseWithPort(host, out _, out _) || key is null)
        {
            return false;
        }

        request = new WebSocketRequest(host!, key, extensions, forwardedFor);
        return true;
    }

    private static string Join(string? earlier, ReadOnlySpan<char> value) => earlier is null ? value.ToString() : $"{earlier},{value}";

    private static bool Is(ReadOnlySpan<char> text, string name) => text.Equals(name, StringComparison.OrdinalIgnoreCase);

    private static bool HasUpgrade(ReadOnlySpan<char> value)
    {
        foreach (var range in value.Split(','))
        {
            if (Is(value[range].Trim(' '), "Upgrade"))
            {
                return true;
            }
        }

        return false;
    }
}
