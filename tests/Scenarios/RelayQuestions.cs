using System.Net.WebSockets;
using System.Text;

namespace Marmot.Scenarios;

/// <summary>A relay as the smallest client there is sees it.</summary>
internal static class RelayQuestions
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    /// <summary>Sends one message on a connection of its own and returns the first answer that is not the AUTH challenge.</summary>
    public static async Task<string> AskAsync(Uri relay, string message)
    {
        using var limit = new CancellationTokenSource(Limit);
        using var socket = new ClientWebSocket();
        await socket.ConnectAsync(relay, limit.Token);
        await socket.SendAsync(Encoding.UTF8.GetBytes(message), WebSocketMessageType.Text, endOfMessage: true, limit.Token);
        byte[] buffer = new byte[64 * 1024];
        while (true)
        {
            var received = await socket.ReceiveAsync(buffer, limit.Token);
            Assert.True(received.EndOfMessage);
            string text = Encoding.UTF8.GetString(buffer, 0, received.Count);
            if (!text.StartsWith("[\"AUTH\"", StringComparison.Ordinal))
            {
                return text;
            }
        }
    }
}
