using System.Net;
using System.Net.Sockets;

namespace Marmot.TestKit;

/// <summary>Loopback ports for programs that must be told their port before they start.</summary>
public static class FreePort
{
    /// <summary>Distinct ports that were free a moment ago. Somebody else may take one before it is used, so prefer port 0 where the program allows it.</summary>
    public static int[] Take(int count)
    {
        var listeners = Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0)).ToArray();
        try
        {
            foreach (var listener in listeners)
            {
                listener.Start();
            }

            return [.. listeners.Select(listener => ((IPEndPoint)listener.LocalEndpoint).Port)];
        }
        finally
        {
            foreach (var listener in listeners)
            {
                listener.Dispose();
            }
        }
    }
}
