using System.Text;

namespace Marmot.Hosting.Redis;

/// <summary>The kinds of reply this client tells apart; RESP3's finer ones fall into the nearest.</summary>
public enum RespKind
{
    /// <summary>Nothing there.</summary>
    Null,

    /// <summary>Text or bytes.</summary>
    Bytes,

    /// <summary>A whole number, or a truth value as 0 or 1.</summary>
    Number,

    /// <summary>The server refused; the bytes say why, its first word is the code.</summary>
    Error,

    /// <summary>Values in a row; a map is its keys and values by turns.</summary>
    Array,
}

/// <summary>One reply of a Redis server.</summary>
public sealed record RespValue(RespKind Kind, long Number, ReadOnlyMemory<byte> Bytes, IReadOnlyList<RespValue> Items)
{
    /// <summary>Nothing there.</summary>
    public static RespValue Null { get; } = new(RespKind.Null, 0, default, []);

    /// <summary>The bytes as text.</summary>
    public string Text => Encoding.UTF8.GetString(Bytes.Span);

    /// <summary>An error's first word, e.g. <c>NOSCRIPT</c>; empty for other replies.</summary>
    public string ErrorCode => Kind == RespKind.Error ? Text.Split(' ', 2)[0] : "";

    internal static RespValue FromBytes(ReadOnlyMemory<byte> bytes) => new(RespKind.Bytes, 0, bytes, []);

    internal static RespValue FromNumber(long value) => new(RespKind.Number, value, default, []);

    internal static RespValue FromError(ReadOnlyMemory<byte> bytes) => new(RespKind.Error, 0, bytes, []);

    internal static RespValue FromItems(IReadOnlyList<RespValue> items) => new(RespKind.Array, items.Count, default, items);
}
