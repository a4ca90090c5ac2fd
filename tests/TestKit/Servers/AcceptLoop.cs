using System.Net.Sockets;

namespace Marmot.TestKit.Servers;

/// <summary>Takes connections until it is stopped, and serves each beside the others.</summary>
internal static class AcceptLoop
{
    /// <summary>Ends when it was stopped and every connection is served.</summary>
    /// <param name="listener">Has been started; whoever stops it cancels <paramref name="stop"/> first.</param>
    /// <param name="serve">Serves one connection and closes it.</param>
    /// <param name="stop">Ends it.</param>
    public static async Task RunAsync(TcpListener listener, Func<TcpClient, Task> serve, CancellationToken stop)
    {
        var serving = new List<Task>();
        try
        {
            while (true)
            {
                serving.Add(serve(await listener.AcceptTcpClientAsync(stop)));
            }
        }
        // The last when it has stopped.
        catch (Exception exception) when (exception is OperationCanceledException or SocketException or InvalidOperationException)
        {
            await Task.WhenAll(serving);
        }
    }
}
