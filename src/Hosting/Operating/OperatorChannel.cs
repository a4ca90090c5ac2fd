using System.Buffers.Binary;

namespace Marmot.Hosting.Operating;

/// <summary>What goes over the socket between a command and the running server.</summary>
#pragma warning disable CA1028 // one byte on the wire
public enum OperatorFrame : byte
#pragma warning restore CA1028
{
    /// <summary>To the server, first: the command line, a JSON array of strings.</summary>
    Command = (byte)'C',

    /// <summary>To the server: a piece of the input; an empty one ends it.</summary>
    Input = (byte)'I',

    /// <summary>From the server: a piece of the output.</summary>
    Output = (byte)'O',

    /// <summary>From the server: a sentence for the operator.</summary>
    Words = (byte)'W',

    /// <summary>From the server: how far it is.</summary>
    Progress = (byte)'P',

    /// <summary>From the server, last: the exit code, one byte.</summary>
    Exit = (byte)'X',
}

/// <summary>Frames over a local socket: a letter, the length as u32 big-endian, the bytes.</summary>
/// <remarks>One reader and, guarded by a semaphore, any writer.</remarks>
/// <param name="stream">Owned.</param>
public sealed class OperatorChannel(Stream stream) : IDisposable
{
    /// <summary>Longest payload of a frame; longer ones are sent in pieces.</summary>
    public const int MaxFrameBytes = 64 * 1024;
    private const int HeaderSize = 5;
    private readonly SemaphoreSlim _writing = new(1);
    private readonly byte[] _header = new byte[HeaderSize];
    private readonly byte[] _payload = new byte[MaxFrameBytes];

    /// <summary>The next frame, valid until the one after; null when the other side is gone.</summary>
    /// <exception cref="IOException">It sends what is no frame.</exception>
    public async ValueTask<(OperatorFrame Kind, ReadOnlyMemory<byte> Payload)?> ReadAsync(CancellationToken cancel)
    {
        if (await stream.ReadAtLeastAsync(_header, HeaderSize, throwOnEndOfStream: false, cancel) < HeaderSize)
        {
            return null;
        }

        var length = BinaryPrimitives.ReadUInt32BigEndian(_header.AsSpan(1));
        if (length > MaxFrameBytes)
        {
            throw new IOException("the other side of the operator's socket does not speak its language");
        }

        await stream.ReadExactlyAsync(_payload.AsMemory(0, (int)length), cancel);
        return ((OperatorFrame)_header[0], _payload.AsMemory(0, (int)length));
    }

    /// <summary>Sends bytes in as many frames as they take; none at all as one empty frame.</summary>
    public async ValueTask WriteAsync(OperatorFrame kind, ReadOnlyMemory<byte> payload, CancellationToken cancel)
    {
        await _writing.WaitAsync(cancel);
        try
        {
            do
            {
                var piece = payload[..Math.Min(payload.Length, MaxFrameBytes)];
                var header = new byte[HeaderSize];
                header[0] = (byte)kind;
                BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(1), (uint)piece.Length);
                await stream.WriteAsync(header, cancel);
                await stream.WriteAsync(piece, cancel);
                payload = payload[piece.Length..];
            }
            while (!payload.IsEmpty);
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _writing.Dispose();
        stream.Dispose();
    }
}
