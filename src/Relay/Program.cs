using System.CommandLine;
using Marmot.Hosting;
using Marmot.Hosting.Lifetime;
using Marmot.Relay;
using Marmot.Terminal;

var root = new RootCommand("the Nostr relay");
root.RunsWithSettings(settings =>
{
    var app = MarmotHost.CreateBuilder(settings).AddRelay().Build();
    app.UseRouting();
    app.MapRelay();
    return app.RunToEndAsync();
});
RelayCommands.AddTo(root);
return await ConsoleProgram.RunAsync(root, args);
