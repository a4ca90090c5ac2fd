using System.Net;
using System.Net.Sockets;

namespace Marmot.TestKit;

/// <summary>Loopback ports for programs that must be told their port before they start.</summary>
public static class FreePort
{
    // Below what Linux hands out to outgoing connections, so that no client of another test takes one in between.
    private const int First = 12_000;
    private const int Last = 31_999;

    private static readonly Lock Gate = new();
    private static int _next = First + Random.Shared.Next(Last - First);

    /// <summary>Distinct ports that were free a moment ago; this process does not hand one out twice. Somebody else may take one before it is used, so prefer
    /// port 0 where the program allows it.</summary>
    public static int[] Take(int count) => [.. Enumerable.Range(0, count).Select(_ => TakeOne())];

    private static int TakeOne()
    {
        lock (Gate)
        {
            for (int attempt = 0; attempt < Last - First; attempt++)
            {
                _next = _next == Last ? First : _next + 1;
                using var probe = new TcpListener(IPAddress.Loopback, _next);
                try
                {
                    probe.Start();
                    return _next;
                }
                catch (SocketException)
                {
                    // in use
                }
            }
        }

        throw new InvalidOperationException($"no port between {First} and {Last} is free");
    }
}
