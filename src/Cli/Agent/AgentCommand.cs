using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using Marmot.Client;

namespace Marmot.Cli.Agent;

/// <summary><c>marmot agent</c>: one JSON request a line on stdin, one JSON answer a line on stdout.</summary>
internal static class AgentCommand
{
    // These act at once, also while another command waits.
    private static readonly string[] Immediate = ["hold", "held", "release", "ping", "log", "close"];

    private static readonly JsonSerializerOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static async Task<int> RunAsync(TextReader input, TextWriter output)
    {
        await using var session = new AgentSession();
        var queue = Channel.CreateUnbounded<(JsonNode? Id, AgentRequest Request)>(new UnboundedChannelOptions { SingleReader = true });
        using var ending = new CancellationTokenSource();
        var writing = new Lock();
        var working = WorkAsync();
        var waiting = new List<Task>(); // `held` may wait while others act
        bool isClosed = false;
        while (await input.ReadLineAsync() is { } line)
        {
            if (line.Trim().Length == 0)
            {
                continue;
            }

            JsonNode? id = null;
            AgentRequest request;
            try
            {
                using var document = JsonDocument.Parse(line);
                var body = document.RootElement.Clone();
                if (body.ValueKind != JsonValueKind.Object)
                {
                    throw new ClientException("a request is a JSON object");
                }

                id = body.TryGetProperty("id", out var given) ? JsonNode.Parse(given.GetRawText()) : null;
                request = new AgentRequest(body);
            }
            catch (Exception exception) when (exception is JsonException or ClientException)
            {
                Answer(id, null, exception is ClientException ? exception.Message : "the line is not JSON");
                continue;
            }

            if (request.Command == "close")
            {
                Answer(id, [], null);
                isClosed = true;
                break;
            }

            if (Immediate.Contains(request.Command))
            {
                waiting.RemoveAll(one => one.IsCompleted);
                waiting.Add(HandleAsync(id, request));
            }
            else
            {
                queue.Writer.TryWrite((id, request));
            }
        }

        // Every request that was read is answered. Those that wait for a release have waited in vain: none can come any more.
        queue.Writer.Complete();
        if (isClosed || session.IsHolding)
        {
            await ending.CancelAsync();
        }

        await working;
        await Task.WhenAll(waiting);
        return 0;

        async Task WorkAsync()
        {
            await foreach (var (id, request) in queue.Reader.ReadAllAsync())
            {
                await HandleAsync(id, request);
            }
        }

        async Task HandleAsync(JsonNode? id, AgentRequest request)
        {
            try
            {
                ending.Token.ThrowIfCancellationRequested();
                Answer(id, await session.HandleAsync(request, ending.Token), null);
            }
            catch (OperationCanceledException) when (ending.IsCancellationRequested)
            {
                Answer(id, null, "the agent was closed before this was done");
            }
            catch (Exception exception) when (exception is not OutOfMemoryException)
            {
                Answer(id, null, exception.Message);
            }
        }

        void Answer(JsonNode? id, JsonObject? result, string? error)
        {
            var answer = new JsonObject { ["id"] = id?.DeepClone(), ["ok"] = error is null };
            if (error is null)
            {
                answer["result"] = result;
            }
            else
            {
                answer["error"] = error;
            }

            lock (writing)
            {
                output.WriteLine(answer.ToJsonString(Json));
                output.Flush();
            }
        }
    }
}
