using System.CommandLine;
using Marmot.Hosting;
using Marmot.Hosting.Lifetime;
using Marmot.NotifyServer;
using Marmot.Terminal;

var root = new RootCommand("the push server (MIP-05, marmot-push-v1)");
root.RunsWithSettings(settings =>
{
    var builder = MarmotHost.CreateBuilder(settings);
    builder.AddNotify();
    var app = builder.Build();
    app.MapNotify();
    return app.RunToEndAsync();
});
NotifyCommands.AddTo(root);
root.Add(NotifyCommands.CreateKeys());
return await ConsoleProgram.RunAsync(root, args);
