using System.Buffers;

namespace Marmot.Hosting;

/// <summary>What a shortcut found at the start of a connection's bytes.</summary>
public enum RequestResult
{
    /// <summary>More bytes are needed.</summary>
    Incomplete,

    /// <summary>A request that the shortcut serves.</summary>
    Complete,

    /// <summary>Anything else, correct or not: the HTTP server's work.</summary>
    Other,
}

/// <summary>The head of an HTTP/1.1 GET (RFC 9112, 2.1) as it came, looked at before the HTTP server.</summary>
public static class RequestHead
{
    /// <summary>Finds the head at the start of what came; what stands in its lines is the caller's to judge.</summary>
    /// <param name="source">What came; it is looked at from its start.</param>
    /// <param name="maxBytes">A longer head is <see cref="RequestResult.Other"/>.</param>
    /// <param name="lines">When complete: the request line, which begins with <c>GET /</c>, and the header lines, each with its end.</param>
    /// <param name="end">When complete: behind the empty line.</param>
    public static RequestResult Find(in ReadOnlySequence<byte> source, int maxBytes, out ReadOnlySpan<byte> lines, out SequencePosition end)
    {
        lines = default;
        end = source.Start;
        var bytes = source.IsSingleSegment ? source.FirstSpan : source.Slice(0, Math.Min(source.Length, maxBytes)).ToArray();
        bytes = bytes[..Math.Min(bytes.Length, maxBytes)];
        var start = "GET /"u8;
        if (!bytes[..Math.Min(bytes.Length, start.Length)].SequenceEqual(start[..Math.Min(bytes.Length, start.Length)]))
        {
            return RequestResult.Other;
        }

        var size = bytes.IndexOf("\r\n\r\n"u8);
        if (size < 0)
        {
            return bytes.Length < maxBytes ? RequestResult.Incomplete : RequestResult.Other;
        }

        lines = bytes[..(size + 2)];
        end = source.GetPosition(size + 4);
        return RequestResult.Complete;
    }
}
